# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vm_info against a lab host, with VMs of ours and of others."""

from __future__ import annotations

import pytest

from .lab import Unsafe

HOST = "lab-es-1"
HOSTILE = "t-{{ lookup('pipe', 'touch ${HOME}-t-hostile') }}"
XML = (
    "<domain type='qemu'><name>{name}</name><description>{{{{ 7 * 7 }}}} &lt;b&gt;</description><memory unit='MiB'>64</memory>"
    "<os><type machine='q35'>hvm</type></os></domain>"
)
OURS = {
    "name": "t-info",
    "cpus": 1,
    "memory": "64MiB",
    "disks": [{"name": "vda", "size": "1MiB", "storage": "ssd", "format": "raw"}],
    "allowed_countries": ["ES"],
    "accelerator": "tcg",
    "site": "{{ federation_site }}",
    "hypervisor": "{{ inventory_hostname }}",
}


@pytest.fixture(scope="module")
def host(lab):
    """A VM of ours and one of somebody else with a name that Ansible must never read as a template."""
    lab.run(HOST, f"cat > /tmp/t.xml <<'EOF'\n{XML.format(name=HOSTILE)}\nEOF\nvirsh define /tmp/t.xml && rm /tmp/t.xml")
    made = lab.module(HOST, "virt8ra.federation.vm", OURS)
    assert not made.get("failed"), made.get("msg")
    yield lab
    gone = {**{key: OURS[key] for key in ("name", "site", "hypervisor")}, "state": "absent", "remove_disks": True}
    lab.module(HOST, "virt8ra.federation.vm", gone)
    quoted = HOSTILE.replace("'", "'\\''")
    lab.run(HOST, f"virsh undefine '{quoted}'")


def read(lab, *, check=False, **options):
    result = lab.module(HOST, "virt8ra.federation.vm_info", {"site": "{{ federation_site }}", **options}, check=check)
    assert not result.get("failed"), result.get("msg")
    assert result["changed"] is False
    return result["vms"]


def test_all_vms_are_read_by_name_in_check_mode_too(host):
    found = read(host)
    names = [status["vm"]["name"] for status in found]
    assert names == sorted(names)
    assert {"t-info", HOSTILE} <= set(names)
    checked = {status["vm"]["name"]: status for status in read(host, check=True)}
    assert all(checked[status["vm"]["name"]] == status for status in found if status["vm"]["name"] in ("t-info", HOSTILE))


def test_a_vm_of_ours_is_whole(host):
    (status,) = read(host, name="t-info")
    assert (status["state"], status["managed"], status["persistent"]) == ("stopped", True, True)
    assert status["owner"] == {"hypervisor": HOST, "epoch": 1}
    disk = {"name": "vda", "size": 2**20, "storage": "ssd", "format": "raw", "bus": "virtio", "image": None, "clone": "full"}
    assert status["vm"]["disks"] == [disk]
    assert status["vm"]["allowed_countries"] == ["ES"]


def test_a_hostile_vm_stays_data(host):
    (status,) = read(host, name=Unsafe(HOSTILE))
    assert status["vm"]["name"] == HOSTILE
    assert status["vm"]["description"] == "{{ 7 * 7 }} <b>"
    assert (status["managed"], status["owner"]) == (False, None)
    assert host.run(HOST, "ls -a / /root | grep -c t-hostile || true").strip() == "0"


def test_nothing_is_returned_for_no_vm(host):
    assert read(host, name="t-nobody") == []


def test_a_running_vm_has_an_address(lab):
    """The demo guest of the lab asks for none, so only that the question does no harm is tested for all that run."""
    for status in read(lab):
        assert status["state"] in ("running", "paused", "stopped", "crashed")
        assert status["state"] == "running" or status["addresses"] == []


def test_a_hypervisor_that_is_not_there_is_told(lab):
    options = {"site": "{{ federation_site }}", "uri": "qemu+tls://127.0.0.9/system", "connect_timeout": 2}
    result = lab.module(HOST, "virt8ra.federation.vm_info", options)
    assert result["failed"]
    assert result["error"]["option"] == "uri"
    assert result["error"]["remedy"]


def test_certificates_that_are_not_there_are_told(lab):
    options = {"uri": "qemu+tls://10.213.77.11/system", "pki_path": "/nowhere/pki", "site": "{{ federation_site }}"}
    result = lab.module("lab-es-1", "virt8ra.federation.vm_info", options)
    assert result["failed"] is True
    assert result["error"]["option"] == "uri"
    assert "/nowhere/pki" in result["msg"]
    assert "certificates are readable" in result["msg"]
