# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bulk reading and addresses, against a connection that answers from memory; the real one: test_sites_plugin and the lab."""

from __future__ import annotations

import threading
import time
import xml.etree.ElementTree as ET
from typing import Any

import libvirt
import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import addresses, bulk, metadata
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import UnreachableError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Hypervisor, Site
from ansible_collections.virt8ra.federation.plugins.module_utils.site_reports import gather

SITE = Site(name="s", provider="P", country="ES", storage={"ssd": "vms"}, networks={"front": "public"})
AGENT = libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT
ARP = libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP


def fault(code: int) -> libvirt.libvirtError:
    error = libvirt.libvirtError("fault")
    error.err = (code, 0, "fault", 2, None, None, None, 0, 0)
    return error


class FakeDomain:
    """``found``: addresses by source; an exception among them is raised."""

    def __init__(self, name: str, state: int = 5, found: Any = None, agent: bool = False, metadata_xml: str = "") -> None:
        self.name = name
        self.state = state
        self.found = found or {}
        self.asked: list[int] = []
        self.hidden = False
        self.stalled = threading.Event()
        self.stalled.set()
        connected = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>"
        self.xml = f"""
          <domain{" id='7'" if state == 1 else ""}><name>{name}</name><uuid>{name}-uuid</uuid><memory unit='KiB'>65536</memory><vcpu>1</vcpu>
          <metadata>{metadata_xml}</metadata><devices>
            <disk type='file' device='disk'><source file='/vms/{name}.qcow2'/><target dev='vda' bus='virtio'/></disk>
            <interface type='network'><mac address='52:54:00:00:00:{len(name):02}'/><source network='public'/></interface>
            {connected if agent else ""}
          </devices></domain>"""

    def UUIDString(self) -> str:
        return f"{self.name}-uuid"

    def XMLDesc(self) -> str:
        self.stalled.wait()
        if self.hidden:
            raise fault(libvirt.VIR_ERR_NO_DOMAIN)
        return self.xml

    def interfaceAddresses(self, source: int, _flags: int) -> Any:
        self.asked.append(source)
        found = self.found.get(source, fault(libvirt.VIR_ERR_AGENT_UNRESPONSIVE))
        if isinstance(found, Exception):
            raise found
        if isinstance(found, threading.Event):
            found.wait()
        mac = f"52:54:00:00:00:{len(self.name):02}"
        return {"eth0": {"hwaddr": mac, "addrs": [{"addr": address} for address in found]}, "lo": {"hwaddr": "", "addrs": None}}


class FakeNetwork:
    def __init__(self, *leases: tuple[str, str, int]) -> None:
        self.leases = leases
        self.reads = 0

    def DHCPLeases(self) -> list[dict[str, Any]]:
        self.reads += 1
        return [{"mac": mac, "ipaddr": address, "expirytime": expiry} for mac, address, expiry in self.leases]


class FakePool:
    def name(self) -> str:
        return "vms"

    def XMLDesc(self) -> str:
        return "<pool><target><path>/vms</path></target></pool>"


class FakeConnection:
    def __init__(self, *domains: FakeDomain, network: FakeNetwork | None = None) -> None:
        self.domains = list(domains)
        self.network = network or FakeNetwork()
        self.listed = 0

    def listAllDomains(self) -> list[FakeDomain]:
        return self.domains

    def listAllStoragePools(self) -> list[FakePool]:
        return [FakePool()]

    def listAllNetworks(self, _flags: int) -> list[FakeNetwork]:
        self.listed += 1
        return [self.network]

    def domainListGetStats(self, domains: list[FakeDomain], stats: int, _flags: int = 0) -> list[Any]:
        if stats == libvirt.VIR_DOMAIN_STATS_STATE:
            return [(domain, {"state.state": domain.state}) for domain in domains]
        block = {"block.count": 1, "block.0.capacity": 4096}
        return [(domain, {**block, "block.0.path": f"/vms/{domain.name}.qcow2"}) for domain in domains]

    def close(self) -> None:
        pass


def reports(timeout: float, *names: str) -> dict[str, dict[str, Any]]:
    pairs = [(SITE, Hypervisor(name, name, f"test:///{name}" if names else "test:///", "s")) for name in names or ("h",)]
    return gather(bulk.readings(pairs, timeout=timeout, pki_path=None), timeout)


def read(monkeypatch: pytest.MonkeyPatch, conn: FakeConnection, timeout: float = 20) -> list[dict[str, Any]]:
    monkeypatch.setattr(bulk, "open_connection", lambda *_args, **_options: conn)
    report = reports(timeout)["h"]
    assert "fault" not in report, report
    vms: list[dict[str, Any]] = report["vms"]
    return vms


def test_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = ET.tostring(ET.fromstring(f'<owner xmlns="{metadata.namespace("owner")}">{{"hypervisor": "h", "epoch": 3}}</owner>'))
    spec = f'<vm xmlns="{metadata.namespace("vm")}">{{"allowed_countries": ["ES"]}}</vm>'
    (record,) = read(monkeypatch, FakeConnection(FakeDomain("web", metadata_xml=owner.decode() + spec)))
    assert record["state"] == "stopped" and record["memory"] == 2**26
    assert record["disks"][0]["size"] == 4096 and record["disks"][0]["storage"] == "ssd"
    assert record["owner"] == {"hypervisor": "h", "epoch": 3}
    assert record["managed"] is True and record["allowed_countries"] == ["ES"]


@pytest.mark.parametrize("payload", ['{"hypervisor": ["h"], "epoch": 3}', '{"hypervisor": "h", "epoch": true}', "no JSON", "[]"])
def test_an_owner_of_odd_shape_is_none(monkeypatch: pytest.MonkeyPatch, payload: str) -> None:
    owner = f'<owner xmlns="{metadata.namespace("owner")}">{payload}</owner>'
    (record,) = read(monkeypatch, FakeConnection(FakeDomain("web", metadata_xml=owner)))
    assert record["owner"] is None


def test_one_that_goes_away_meanwhile_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = FakeDomain("gone")
    gone.hidden = True
    assert [vm["name"] for vm in read(monkeypatch, FakeConnection(gone, FakeDomain("web")))] == ["web"]


def test_addresses_best_first(monkeypatch: pytest.MonkeyPatch) -> None:
    network = FakeNetwork(("52:54:00:00:00:06", "192.0.2.6", 5), ("52:54:00:00:00:06", "192.0.2.66", 9))
    leased = FakeDomain("leases", 1, agent=True)
    agent = FakeDomain("by-agent", 1, {AGENT: ["fe80::1", "2001:db8::8", "192.0.2.8"]}, agent=True)
    arp = FakeDomain("arp", 1, {ARP: ["192.0.2.3"]})
    both = FakeDomain("agentless", 1, {ARP: ["192.0.2.9"]}, agent=True)
    conn = FakeConnection(leased, agent, arp, both, FakeDomain("stopped-one"), network=network)
    found = {vm["name"]: vm["addresses"] for vm in read(monkeypatch, conn)}
    assert found == {
        "leases": ["192.0.2.66", "192.0.2.6"],
        "by-agent": ["192.0.2.8", "2001:db8::8"],
        "arp": ["192.0.2.3"],
        "agentless": ["192.0.2.9"],
        "stopped-one": [],
    }
    assert (leased.asked, agent.asked, arp.asked, both.asked) == ([], [AGENT], [ARP], [AGENT, ARP])
    assert network.reads == 1


def test_stopped_vms_cost_no_further_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    conn = FakeConnection(FakeDomain("off"))
    read(monkeypatch, conn)
    assert conn.listed == 0 and conn.domains[0].asked == []


def test_an_agent_that_never_answers_costs_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    conn = FakeConnection(FakeDomain("hung", 1, {AGENT: never}, agent=True), FakeDomain("arp", 1, {ARP: ["192.0.2.3"]}))
    began = time.monotonic()
    found = {vm["name"]: vm["addresses"] for vm in read(monkeypatch, conn, timeout=2)}
    assert found == {"hung": [], "arp": ["192.0.2.3"]}
    assert time.monotonic() - began < 1.9
    never.set()


def test_half_an_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that dies while VMs are read: those that were read must not pass for all."""
    stalled = FakeDomain("stalled")
    stalled.stalled.clear()
    conn = FakeConnection(FakeDomain("web"), stalled)
    with pytest.raises(UnreachableError, match="not all of its VMs"):
        bulk._Reader(conn, SITE, time.monotonic() + 0.5, 2).vms()
    monkeypatch.setattr(bulk, "open_connection", lambda *_args, **_options: conn)
    assert set(reports(0.5)["h"]) == {"fault"}
    stalled.stalled.set()


def test_an_unforeseen_fault_is_of_one_hypervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(uri: str, **_options: Any) -> FakeConnection:
        if uri == "test:///bad":
            raise RuntimeError("no such luck")
        return FakeConnection(FakeDomain("web"))

    monkeypatch.setattr(bulk, "open_connection", opened)
    read = reports(20, "bad", "good")
    assert read["bad"] == {"fault": "RuntimeError: no such luck"}
    assert [vm["name"] for vm in read["good"]["vms"]] == ["web"]


def test_only_usable_addresses() -> None:
    listed = {"a": ["127.0.0.1", "169.254.1.1", "fe80::1", "::1", "0.0.0.0", "224.0.0.1", "not one", "192.0.2.1", "192.0.2.1"]}
    assert addresses.best_first(listed, ["a", "b"]) == ["192.0.2.1"]
