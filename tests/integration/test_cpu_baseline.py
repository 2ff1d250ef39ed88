# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CPU that a VM can have at the lab hosts, computed by their libvirt."""

from __future__ import annotations

import json

import pytest

from .guest import Guest
from .lab import ADDRESSES, faulty

HERE, THERE = "lab-es-1", "lab-de-1"
NAME = "t-baseline"
WHO = {"site": "{{ federation_site }}", "hypervisor": "{{ inventory_hostname }}"}
INTEL = '<cpu mode="custom" match="exact"><model>Nehalem</model><vendor>Intel</vendor></cpu>'
AMD = '<cpu mode="custom" match="exact"><model>EPYC</model><vendor>AMD</vendor></cpu>'


@pytest.fixture
def gone(lab):
    yield
    for host in ADDRESSES:
        lab.module(host, "virt8ra.federation.vm", {"name": NAME, "state": "absent", "remove_disks": True, "force": True, **WHO})


def facts(lab, host):
    result = lab.module(host, "virt8ra.federation.site_info", WHO)
    assert not result.get("failed"), result.get("msg")
    return result["facts"]


def baseline(lab, cpus):
    return lab.module(HERE, "virt8ra.federation.cpu_baseline_info", {**WHO, "cpus": cpus})


def test_what_both_can_give(lab):
    here, there = facts(lab, HERE), facts(lab, THERE)
    assert here["host_cpu"]["hypervisor"] == HERE
    result = baseline(lab, [here["host_cpu"], there["host_cpu"]])
    assert not result.get("failed"), result.get("msg")
    assert result["changed"] is False
    assert (result["hypervisors"], result["accelerator"]) == ([HERE, THERE], here["cpu"]["accelerator"])
    # Both are containers of one machine, so that they share everything.
    assert result["baseline"] == here["cpu"]["baseline"]
    assert result["features"] == here["cpu"]["features"]
    assert {"sse2", "nx"} <= set(result["features"])


def test_fewer_features_at_one_are_fewer_for_all(lab):
    here = facts(lab, HERE)
    poorer = {**here["host_cpu"], "hypervisor": "t-poor"}
    poorer["description"] = poorer["description"].replace("</cpu>", '<feature policy="disable" name="sse4.2"/></cpu>')
    assert "sse4.2" in here["cpu"]["features"]
    assert "sse4.2" not in baseline(lab, [poorer])["features"]


def test_who_breaks_it_is_named(lab):
    there = facts(lab, THERE)["host_cpu"]
    foreign = INTEL if "<vendor>AMD" in there["description"] else AMD
    result = baseline(lab, [there, {**there, "hypervisor": "t-foreign", "description": foreign}])
    assert result["error"]["option"] == "cpu_model"
    assert "t-foreign breaks it" in result["msg"]
    assert "such as Nehalem" in result["msg"]
    other = {"kvm": "tcg", "tcg": "kvm"}[there["accelerator"]]
    result = baseline(lab, [{**there, "accelerator": other}])
    assert f"{THERE} breaks it (its guests get {other}" in result["msg"]


@pytest.mark.slow
@pytest.mark.usefixtures("gone")
def test_a_vm_is_deployed_with_it_once_and_moves(lab, tmp_path):
    spec = {"name": NAME, "cpus": 1, "memory": "64MiB", "cpu_model": "baseline"}
    arguments = ["-e", json.dumps({"at": HERE, "spec": spec})]
    shown = lab.shown("playbooks/deploy.yml", *arguments)
    assert not faulty(shown), shown[-3000:]
    assert "Check that all processors are known that a baseline is computed over" in shown
    xml = lab.run(HERE, f"virsh dumpxml --inactive {NAME}")
    again = lab.shown("playbooks/deploy.yml", *arguments)
    assert not faulty(again), again[-3000:]
    assert "changed=0" in next(line for line in again.splitlines() if line.startswith(f"{HERE} "))
    assert lab.run(HERE, f"virsh dumpxml --inactive {NAME}") == xml
    cpu = xml[xml.index("<cpu ") : xml.index("</cpu>")]
    assert f">{facts(lab, HERE)['cpu']['baseline']['model']}<" in cpu
    path = tmp_path / "cpu.xml"
    path.write_text(cpu + "</cpu>", encoding="utf-8")
    kind = {"kvm": "kvm", "tcg": "qemu"}[facts(lab, THERE)["cpu"]["accelerator"]]
    lab.module(THERE, "ansible.builtin.copy", {"src": str(path), "dest": "/tmp/t-baseline.xml", "mode": "0600"})
    told = lab.run(THERE, f"virsh hypervisor-cpu-compare --virttype {kind} /tmp/t-baseline.xml; rm /tmp/t-baseline.xml")
    assert "superset" in told or "identical" in told


@pytest.mark.usefixtures("gone")
@pytest.mark.parametrize(
    ("spec", "more", "sentence"),
    [
        ({}, {"baseline_over": "nowhere"}, "baseline_over: the inventory has no nowhere among its hypervisors"),
        ({"allowed_countries": ["XX"]}, {}, "allowed_countries='XX': is not a country"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_made(lab, spec, more, sentence):
    spec = {"name": NAME, "cpus": 1, "memory": "64MiB", "cpu_model": "baseline", **spec}
    shown = lab.shown("playbooks/deploy.yml", "-e", json.dumps({"at": HERE, "spec": spec, **more}))
    assert sentence in " ".join(shown.split())
    assert Guest(lab, NAME).state(HERE) == ""
