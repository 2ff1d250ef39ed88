# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Subjects as evidence gives them, joined over all calls, and with those that the federation file declares; pure.

Of a fact that was gathered twice, the newer data holds, or the later one of the same time. Data of several servers, ``{"servers":
[{"server": name, …}]}``, is put together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..fields import Fields
from ..model import Site
from .controls import SUBJECTS

ABSENT = "no evidence of it was gathered"


@dataclass
class Subject:
    """``facts`` by area, as ``evidence.fact`` has them. ``fault``: why nothing at all is known of it; empty for none.

    ``silence``: why a call told nothing of it, although another one told something.
    """

    type: str
    name: str
    site: str
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    fault: str = ""
    silence: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.type, self.site, self.name

    def label(self) -> dict[str, str]:
        """As a finding has it."""
        return {"type": self.type, "name": self.name, "site": self.site}


def read_subjects(evidence: Sequence[Any], sites: Iterable[Site], where: str = "evidence") -> tuple[list[Subject], str]:
    """All subjects by type, site and name, and the time of the newest evidence.

    Sites, hypervisors and clusters of the federation of which there is no evidence are subjects with a fault (a site is one
    without facts: what is attested needs none). InputError for evidence of a site that is not in the federation.

    :param evidence: what compliance_evidence returned as ``evidence``, of each call
    """
    known = {site.name: site for site in sites}
    documents: list[tuple[str, tuple[Subject, ...]]] = []
    for index, given in enumerate(evidence):
        fields = Fields(given, f"{where}[{index}]")
        collected, subjects = fields.text("collected"), fields.each("subjects", _read)
        fields.finish()
        for subject in subjects:
            if subject.site not in known:
                remedy = f"use one of {', '.join(sorted(known)) or 'none'}"
                raise InputError("is no site of the federation", option=f"{where}[{index}]", value=subject.site, remedy=remedy)
        documents.append((collected, subjects))
    found: dict[tuple[str, str, str], Subject] = {}
    for _collected, subjects in sorted(documents, key=lambda document: document[0]):
        for subject in subjects:
            _join(found, subject)
    for declared in _declared(known.values()):
        found.setdefault(declared.key, declared)
    return [found[key] for key in sorted(found)], max((collected for collected, _subjects in documents), default="")


def _read(data: Any, where: str) -> Subject:
    fields = Fields(data, where)
    read = Subject(
        type=fields.choice("type", SUBJECTS, ""),
        name=fields.text("name", required=True),
        site=fields.text("site", required=True),
        facts=dict(fields.get("facts", {})),
        fault=fields.text("error"),
    )
    fields.finish()
    read.silence = "" if read.facts else read.fault
    for area, fact in read.facts.items():
        if not isinstance(fact, dict) or ("data" in fact) == ("error" in fact) or not isinstance(fact.get("missing", []), list):
            remedy = "write how with either data or error"
            raise InputError("is no fact", option=f"{where}.facts.{area}", value=fact, remedy=remedy)
    return read


def _join(found: dict[tuple[str, str, str], Subject], subject: Subject) -> None:
    """Facts of several calls come together; one call that came through says more than one that did not."""
    there = found.setdefault(subject.key, subject)
    if there is subject:
        return
    for area, fact in subject.facts.items():
        there.facts[area] = _joined(there.facts[area], fact) if area in there.facts else fact
    there.silence = there.silence or subject.silence
    there.fault = there.fault and subject.fault


def _joined(older: dict[str, Any], newer: dict[str, Any]) -> dict[str, Any]:
    """Data says more than an error, whichever is newer; what is missing in either is missing in both."""
    joined = dict(newer if "data" in newer or "error" in older else older)
    servers = {**_servers(older), **_servers(newer)}
    if _servers(older) and _servers(newer):
        joined["data"] = {**newer["data"], "servers": [servers[name] for name in sorted(servers)]}
    missing = sorted({str(why) for fact in (older, newer) for why in fact.get("missing", ())})
    return {**joined, "missing": missing} if missing else joined


def _servers(fact: dict[str, Any]) -> dict[str, Any]:
    """Data of each server, by its name; empty for data of another kind."""
    data = fact.get("data")
    listed = data.get("servers") if isinstance(data, dict) else None
    return {str(one.get("server")): one for one in listed if isinstance(one, dict)} if isinstance(listed, list) else {}


def _declared(sites: Iterable[Site]) -> Iterable[Subject]:
    for site in sites:
        yield Subject("site", site.name, site.name)
        for hypervisor in site.hypervisors:
            yield Subject("hypervisor", hypervisor.name, site.name, fault=ABSENT)
        for cluster in site.clusters:
            yield Subject("cluster", cluster.name, site.name, fault=ABSENT)
