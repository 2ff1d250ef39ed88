# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small federations as plain data, and the rules once more, written down in another way: what must hold of an answer."""

from __future__ import annotations

import datetime
import itertools
import math

from ansible_collections.virt8ra.federation.plugins.module_utils.placement.placing import Question, place

GIB = 2**30
TODAY = datetime.date(2026, 11, 25)


def site(name, hypervisors, country="ES", provider="Arsys", **more):
    return {
        "name": name,
        "provider": provider,
        "country": country,
        "storage": {"ssd": "vms"},
        "networks": {"public": "br0"},
        "hypervisors": [{"name": hypervisor} for hypervisor in hypervisors],
        **more,
    }


def facts(cpus=8, memory=8, cpus_used=0, memory_used=0, disk=1000, **more):
    """Memory and disk in GiB."""
    return {
        "capacity": {
            "cpus": cpus,
            "cpus_used": cpus_used,
            "memory": memory * GIB,
            "memory_used": memory_used * GIB,
            "memory_free": memory * GIB,
        },
        "cpu": {"models": ["Nehalem", "EPYC"], "most_cpus": 64, "uefi": False, "features": ["aes", "avx2"]},
        "machine_types": ["pc-q35-7.2"],
        "pools": [{"name": "vms", "storage": ["ssd"], "active": True, "free": disk * GIB}],
        "networks": [{"name": "br0", "networks": ["public"], "active": True}],
        **more,
    }


def vm(name, cpus=1, memory=1, disk=0, **more):
    """Memory and disk in GiB."""
    disks = [{"name": "vda", "size": disk * GIB, "storage": "ssd"}] if disk else []
    return {"name": name, "cpus": cpus, "memory": memory * GIB, "disks": disks, **more}


def status(spec, **more):
    return {"state": "running", "vm": spec, "owner": None, "managed": True, **more}


def ask(sites, known, vms, **more):
    return place(Question.read(sites, known, vms, TODAY, **more))


def circles(rules, key):
    return {(rule["group"], rule.get("level", "hypervisor")) for rule in rules.get(key, [])}


def labels(rules):
    together = {rule["group"] for key in ("anti_affinity", "keep_together") for rule in rules.get(key, [])}
    return set(rules.get("groups", [])) | together


def kilometres(one, other):
    (north, east), (other_north, other_east) = one, other
    cosine = math.sin(math.radians(north)) * math.sin(math.radians(other_north))
    turn = math.cos(math.radians(east - other_east))
    cosine += math.cos(math.radians(north)) * math.cos(math.radians(other_north)) * turn
    return 6371 * math.acos(max(-1.0, min(1.0, cosine)))


class Rules:
    """The hard rules of the small worlds that the tests draw: countries, capacity, groups, and round trips by distance."""

    def __init__(self, sites, known, vms):
        self.home = {one["name"]: place for place in sites for one in place["hypervisors"]}
        self.known = known
        self.vms = {one["name"]: one for one in vms}

    def key(self, hypervisor, level):
        of_site = self.home[hypervisor]
        return {"hypervisor": hypervisor, "site": of_site["name"], "provider": of_site["provider"]}[level]

    def broken(self, assignment):
        """The first rule that is broken, or nothing."""
        return next(itertools.chain(self._room(assignment), self._alone(assignment), self._company(assignment)), None)

    def _room(self, assignment):
        for hypervisor, known in self.known.items():
            here = [self.vms[name] for name, at in assignment.items() if at == hypervisor]
            capacity = known["capacity"]
            if sum(one["cpus"] for one in here) > 4 * capacity["cpus"] - capacity["cpus_used"]:
                yield "cpus", hypervisor
            if sum(one["memory"] for one in here) > capacity["memory"] - capacity["memory_used"]:
                yield "memory", hypervisor
            if sum(disk["size"] for one in here for disk in one["disks"]) > known["pools"][0]["free"]:
                yield "disk", hypervisor

    def _alone(self, assignment):
        for name, at in assignment.items():
            one, home = self.vms[name], self.home[at]
            rules = one.get("placement", {})
            if one.get("allowed_countries") and home["country"] not in one["allowed_countries"]:
                yield "country", name
            if home["provider"] in rules.get("forbidden_providers", []):
                yield "provider", name
            for trip in rules.get("round_trips", []):
                (there, *_rest) = [place for place in self.home.values() if place["name"] == trip["site"]]
                ends = (home["latitude"], home["longitude"]), (there["latitude"], there["longitude"])
                if kilometres(*ends) / 100 > trip["max_ms"] + 1e-6:
                    yield "round_trip", name

    def _company(self, assignment):
        for name, at in assignment.items():
            rules = self.vms[name].get("placement", {})
            others = {other: place for other, place in assignment.items() if other != name}
            for kind in ("anti_affinity", "keep_together", "affinity"):
                for group, level in circles(rules, kind):
                    there = [place for other, place in others.items() if group in labels(self.vms[other].get("placement", {}))]
                    same = [self.key(place, level) == self.key(at, level) for place in there]
                    if {"anti_affinity": any(same), "keep_together": not all(same), "affinity": not any(same)}[kind]:
                        yield kind, name

    def can_be_kept(self):
        """Whether any assignment at all keeps them."""
        names = sorted(self.vms)
        return any(not self.broken(dict(zip(names, places))) for places in itertools.product(sorted(self.known), repeat=len(names)))
