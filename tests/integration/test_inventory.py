# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of the lab's real hypervisors, over TLS. What needs no hypervisor is tested in unit/plugins/inventory."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import libvirt
import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import metadata
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.connection import open_connection

from .guest import Guest
from .lab import ADDRESSES, INVENTORY, ROOT, Lab, command, environment

HOSTILE = "t-inv-{{ lookup('pipe','id') }}"
PREFIX = "t-inv-"
MANY = 1000
PKI = ROOT / "build" / "lab" / "pki" / "controller"


def connect() -> dict[str, Any]:
    """A connection to each of the lab's hypervisors, as the controller has it."""
    return {name: open_connection(f"qemu+tls://{address}/system", pki_path=str(PKI)) for name, address in ADDRESSES.items()}


class Domains:
    """Defined VMs at the lab's hypervisors, all forgotten at the end."""

    def __init__(self) -> None:
        self.conns = connect()

    def define(
        self, host: str, name: str, *, identity: str = "", description: str = "", owner: dict[str, Any] | None = None
    ) -> None:
        said = "" if owner is None else f"<owner xmlns='{metadata.namespace('owner')}'>{escape(json.dumps(owner))}</owner>"
        self.conns[host].defineXML(
            f"""
            <domain type='qemu'>
              <name>{escape(name)}</name><uuid>{uuid.uuid5(uuid.NAMESPACE_DNS, identity or host + name)}</uuid>
              <description>{escape(description)}</description><metadata>{said}</metadata>
              <memory unit='KiB'>65536</memory><vcpu>1</vcpu>
              <os><type arch='x86_64' machine='q35'>hvm</type></os>
              <devices><interface type='network'><source network='public'/><model type='virtio'/></interface></devices>
            </domain>"""
        )

    def forget(self) -> None:
        for conn in connect().values():  # anew: what a test did may have taken long
            for domain in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE):
                if domain.name().startswith(PREFIX):
                    domain.undefine()


@pytest.fixture
def domains(lab: Lab) -> Iterator[Domains]:
    made = Domains()
    try:
        made.forget()
        yield made
    finally:
        made.forget()


class Sources:
    """A copy of the lab's federation file in a folder of the test's own, and Ansible's commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "lab.sites.yml"
        self.document: dict[str, Any] = yaml.safe_load((INVENTORY / "lab.sites.yml").read_text(encoding="utf-8"))
        self.document["pki_path"] = str(PKI)
        self.write()

    def write(self, *more_sites: dict[str, Any], **settings: Any) -> None:
        """The lab's own sites with these, and with these settings."""
        document = {**self.document, **settings, "sites": [*self.document["sites"], *more_sites]}
        self.file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")

    def run(self, *arguments: str, name: str = "ansible-inventory", **more: str) -> subprocess.CompletedProcess[str]:
        argv = [command(name), "-i", str(self.file), *arguments]
        env = environment(COLUMNS="10000", ANSIBLE_HOME=str(self.folder), **more)
        return subprocess.run(argv, cwd=ROOT, env=env, text=True, capture_output=True, timeout=120, check=False)

    def listed(self, **more: str) -> dict[str, Any]:
        ran = self.run("--list", **more)
        assert ran.returncode == 0, ran.stderr
        listed: dict[str, Any] = read(ran.stdout)
        return listed

    def hosts(self, group: str = "all", **more: str) -> set[str]:
        """The VMs of these tests in a group; others in the lab are not theirs."""
        listed = self.listed(**more)
        found = listed["_meta"]["hostvars"] if group == "all" else listed.get(group, {}).get("hosts", [])
        return {host for host in found if host.startswith(PREFIX)}


def read(text: str) -> Any:
    """The JSON of ``--list``, where ansible-core wraps every string that is not to be templated."""
    return json.loads(text, object_hook=lambda item: item["__ansible_unsafe"] if set(item) == {"__ansible_unsafe"} else item)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


def dead_site(name: str, port: int) -> dict[str, Any]:
    hypervisor = {"name": f"{name}-1", "address": "127.0.0.1", "uri": f"qemu+tls://127.0.0.1:{port}/system"}
    return {"name": name, "provider": "None", "country": "NL", "hypervisors": [hypervisor]}


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_lab(lab: Lab, sources: Sources) -> None:
    listed = sources.listed()
    assert listed["hypervisors"]["hosts"] == list(ADDRESSES)
    for host, address in ADDRESSES.items():
        hostvars = listed["_meta"]["hostvars"][host]
        assert hostvars["ansible_host"] == address and hostvars["federation_reachable"] is True
        assert hostvars["federation_site"]["storage"] == {"ssd": "vms", "images": "images"}
    assert listed["provider_Arsys"]["children"] == listed["country_ES"]["children"] == ["site_lab_es", "site_lab_es_south"]
    assert "unreachable_sites" not in listed


def test_dead_sites_beside_living_ones(domains: Domains, sources: Sources, silent_port: int, closed_port: int) -> None:
    domains.define("lab-es-1", "t-inv-alive")
    sources.write(dead_site("silent", silent_port), dead_site("closed", closed_port), site_timeout=6)
    began = time.monotonic()
    ran = sources.run("--list")
    assert time.monotonic() - began < 15
    listed = read(ran.stdout)
    assert listed["unreachable_sites"]["children"] == ["site_silent", "site_closed"]
    assert {"silent-1", "closed-1", "t-inv-alive", *ADDRESSES} <= set(listed["_meta"]["hostvars"])
    assert "Site silent: hypervisor silent-1 could not be read" in ran.stderr
    assert "Site closed: hypervisor closed-1 could not be read" in ran.stderr


def test_strict_sites(lab: Lab, sources: Sources, closed_port: int) -> None:
    sources.write(dead_site("closed", closed_port), strict_sites=True)
    ran = sources.run("--list")
    assert ran.returncode != 0 and "Site closed: hypervisor closed-1 could not be read" in ran.stderr


def test_hostile_names_and_descriptions(domains: Domains, sources: Sources) -> None:
    odd = ["t-inv-with space", "t-inv-Łódź-日本", "t-inv-a:b,c[1:3]", "t-inv-<&>", "t-inv-" + "x" * 100]
    for name in [HOSTILE, *odd]:
        domains.define("lab-de-1", name, description=f"{HOSTILE}\nsecond line")
    listed = sources.listed()["_meta"]["hostvars"]
    for name in [HOSTILE, *odd]:
        assert listed[name]["federation_name"] == name
        assert listed[name]["federation_description"] == f"{HOSTILE}\nsecond line"
    tasks = [{"debug": {"msg": "told: {{ federation_name }} {{ federation_description }}"}}]
    play = [{"hosts": "vms:!localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    (sources.folder / "play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    ran = sources.run(str(sources.folder / "play.yml"), name="ansible-playbook")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert HOSTILE in ran.stdout and "uid=" not in ran.stdout


def test_a_thousand_vms(domains: Domains, sources: Sources) -> None:
    names = {f"t-inv-{number:04}" for number in range(MANY)}
    for name in sorted(names):
        domains.define("lab-es-1", name)
    began = time.monotonic()
    found = sources.hosts("site_lab_es")
    assert time.monotonic() - began < 30
    assert found == names


def test_one_name_at_several_hypervisors(domains: Domains, sources: Sources) -> None:
    for host in ADDRESSES:
        domains.define(host, "t-inv-moved", identity="moved", owner={"hypervisor": "lab-de-1", "epoch": 4})
        domains.define(host, "t-inv-web")
    listed = sources.listed()
    hostvars = listed["_meta"]["hostvars"]
    assert hostvars["t-inv-moved"]["federation_hypervisor_name"] == "lab-de-1"
    assert hostvars["t-inv-moved"]["federation_owner"] == {"hypervisor": "lab-de-1", "epoch": 4}
    elsewhere = {"t-inv-web.lab-es", "t-inv-web.lab-de", "t-inv-web.lab-es-south"}
    assert {host for host in hostvars if host.startswith(PREFIX)} == {"t-inv-moved", *elsewhere}
    sources.write(vm_name="name_at_site")
    assert "t-inv-moved.lab-de" in sources.hosts()


def test_the_address_of_a_running_vm(lab: Lab, sources: Sources) -> None:
    guest = Guest(lab, "t-inv-guest")
    guest.remove()
    try:
        guest.deploy("lab-es-1")
        mac = sources.listed()["_meta"]["hostvars"][guest.name]["federation_nics"][0]["mac"]
        guest.wait(lambda: mac in lab.run("lab-es-1", "virsh net-dhcp-leases public"), "a lease")
        lease = lab.run("lab-es-1", f"virsh net-dhcp-leases public --mac {mac}")
        hostvars = sources.listed()["_meta"]["hostvars"][guest.name]
        assert hostvars["federation_state"] == "running" and hostvars["federation_managed"] is True
        assert f" {hostvars['ansible_host']}/24 " in lease
    finally:
        guest.remove()


def test_cache(domains: Domains, sources: Sources) -> None:
    cache = {
        "ANSIBLE_INVENTORY_CACHE": "true",
        "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(sources.folder / "cache"),
    }
    domains.define("lab-es-1", "t-inv-old")
    first = sources.listed(**cache)
    assert "t-inv-old" in first["vms"]["hosts"]
    domains.forget()
    domains.define("lab-es-1", "t-inv-new")
    assert sources.listed(**cache) == first
    assert sources.run("--graph", "--flush-cache", **cache).returncode == 0
    assert sources.hosts(**cache) == {"t-inv-new"}


def test_filters(domains: Domains, sources: Sources) -> None:
    for host in ADDRESSES:
        domains.define(host, f"t-inv-{host}")
        domains.define(host, f"t-inv-scratch-{host}")
    sources.write(filters={"include": [{"country": "ES", "state": "stopped"}], "exclude": [{"name": "t-inv-scratch-*"}]})
    listed = sources.listed()
    assert {host for host in listed["_meta"]["hostvars"] if host.startswith(PREFIX)} == {"t-inv-lab-es-1", "t-inv-lab-es-2"}
    assert listed["hypervisors"]["hosts"] == ["lab-es-1", "lab-es-2"]


@pytest.mark.parametrize(
    ("site", "sentence"),
    [
        ({"name": "lab-es", "provider": "P", "country": "ES"}, "sites[].name='lab-es': is there twice"),
        (
            {"name": "x", "provider": "P", "country": "ES", "contry": "ES"},
            "sites[3].contry: is not a known key; did you mean country?",
        ),
        ({"name": "x", "provider": "P", "country": "QQ"}, "sites[3].country='QQ': is not a country"),
    ],
)
def test_bad_files(sources: Sources, site: dict[str, Any], sentence: str) -> None:
    sources.write(site)
    ran = sources.run("--list")
    assert ran.returncode != 0 and f"{sources.file}: {sentence}" in ran.stderr
