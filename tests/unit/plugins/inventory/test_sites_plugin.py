# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plugin inside Ansible, as a person runs it; hypervisors are libvirt's own test driver, which needs no daemon."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
HOSTILE = "{{ lookup('pipe','id') }}"
_STATES = {"running": 1, "paused": 3, "stopped": 5}


def domain(name: str, *, identity: str = "", state: str = "stopped", description: str = "") -> str:
    return f"""
      <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
        <name>{escape(name)}</name><uuid>{uuid.uuid5(uuid.NAMESPACE_DNS, identity or name)}</uuid>
        <description>{escape(description)}</description>
        <memory unit='KiB'>65536</memory><vcpu>2</vcpu><os><type>hvm</type></os>
        <devices>
          <disk type='file'><source file='/vms/disk'/><target dev='vda' bus='virtio'/></disk>
          <interface type='network'><mac address='52:54:00:00:00:01'/><source network='public'/></interface>
        </devices>
        <test:runstate>{_STATES[state]}</test:runstate>
      </domain>"""


class Bench:
    """A folder with a federation file, and the commands run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "t.sites.yml"

    def hypervisor(self, name: str, *domains: str) -> dict[str, str]:
        """A declared hypervisor whose domains libvirt's test driver keeps."""
        node = self.folder / f"{name}.xml"
        # The test driver takes a VM's address from its network, and crashes where the network has none.
        addresses = (
            "<ip address='198.51.100.1' netmask='255.255.255.0'><dhcp><range start='198.51.100.9' end='198.51.100.99'/></dhcp></ip>"
        )
        network = f"<network><name>public</name><bridge name='br'/>{addresses}</network>"
        node.write_text(f"<node>{network}{''.join(domains)}</node>", encoding="utf-8")
        return {"name": name, "address": f"{name}.example", "uri": f"test://{node}"}

    def write(self, *sites: dict[str, Any], **settings: Any) -> None:
        shared = {"provider": "P", "country": "ES", "networks": {"front": "public"}}
        document = {
            "plugin": "virt8ra.federation.sites",
            "federation": "t",
            "sites": [{**shared, **site} for site in sites],
            **settings,
        }
        self.file.write_text(yaml.safe_dump(document), encoding="utf-8")

    def run(self, *arguments: str, command: str = "ansible-inventory", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).parent / command), "-i", str(self.file), *arguments],
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_HOME": str(self.folder / "home"),
                "ANSIBLE_FORCE_COLOR": "0",
                "COLUMNS": "10000",
                **environment,
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def listed(self, **environment: str) -> dict[str, Any]:
        """``--list``; groups with their hosts, and ``hostvars`` under ``_meta``."""
        ran = self.run("--list", **environment)
        assert ran.returncode == 0, ran.stderr
        listed: dict[str, Any] = read(ran.stdout)
        return listed


def read(text: str) -> Any:
    """The JSON of ``--list``, where ansible-core wraps every string that is not to be templated."""
    return json.loads(text, object_hook=lambda item: item["__ansible_unsafe"] if set(item) == {"__ansible_unsafe"} else item)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_hosts_groups_and_variables(bench: Bench) -> None:
    running = domain("web", state="running", description="the front")
    bench.write(
        {"name": "s-1", "hypervisors": [bench.hypervisor("h1", running, domain("off"), domain("held", state="paused"))]},
        {"name": "s-2", "clusters": [{"name": "edge", "nodes": [{"name": "edge-1"}]}]},
    )
    listed = bench.listed()
    hostvars = listed["_meta"]["hostvars"]
    assert set(listed["vms"]["hosts"]) == {"web", "off", "held"}
    assert set(listed["site_s_1"]["hosts"]) == {"h1", "web", "off", "held"}
    assert listed["provider_P"]["children"] == listed["country_ES"]["children"] == ["site_s_1", "site_s_2"]
    assert listed["cluster_edge"]["hosts"] == listed["nodes"]["hosts"] == ["edge-1"]
    assert hostvars["web"]["federation_state"] == "running"
    assert hostvars["web"]["ansible_host"] == hostvars["web"]["federation_addresses"][0] != ""
    assert "ansible_host" not in hostvars["off"]
    assert hostvars["web"]["federation_description"] == "the front"
    assert hostvars["web"]["federation_memory"] == 2**26 and hostvars["web"]["federation_cpus"] == 2
    assert hostvars["web"]["federation_nics"][0] | {"model": ""} == {"mac": "52:54:00:00:00:01", "network": "front", "model": ""}
    assert hostvars["web"]["federation_managed"] is False and hostvars["web"]["federation_owner"] is None
    assert [hostvars[name]["federation_state"] for name in ("off", "held")] == ["stopped", "paused"]
    assert hostvars["h1"]["ansible_host"] == "h1.example"
    assert hostvars["h1"]["federation_site"]["hypervisors"] == [hostvars["h1"]["federation_hypervisor"]]


def test_what_a_site_returns_is_never_templated(bench: Bench) -> None:
    bench.write({"name": "s", "hypervisors": [bench.hypervisor("h1", domain(HOSTILE, description=HOSTILE))]})
    raw = json.loads(bench.run("--list").stdout)["_meta"]["hostvars"][HOSTILE]
    assert raw["federation_name"] == raw["federation_description"] == {"__ansible_unsafe": HOSTILE}
    play = [
        {
            "hosts": "vms",
            "connection": "local",
            "gather_facts": False,
            "tasks": [
                {
                    "debug": {
                        "msg": "name={{ federation_name }} description={{ federation_description }} host={{ inventory_hostname }}"
                    }
                },
                {"debug": {"var": "federation_description"}},
            ],
        }
    ]
    (bench.folder / "play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    ran = bench.run(str(bench.folder / "play.yml"), command="ansible-playbook", ANSIBLE_CALLBACK_RESULT_FORMAT="json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"name={HOSTILE} description={HOSTILE} host={HOSTILE}" in ran.stdout
    assert "uid=" not in ran.stdout


def test_even_the_federation_file_is_data(bench: Bench) -> None:
    bench.write({"name": "s", "city": HOSTILE, "hypervisors": [bench.hypervisor("h1")]})
    ran = bench.run("h1", "-m", "debug", "-a", "var=federation_site.city", command="ansible")
    assert "lookup(" in ran.stdout and "uid=" not in ran.stdout


def test_odd_names(bench: Bench) -> None:
    names = ["with space", "Łódź-日本", "-dash", "!bang", "a:b,c[1:3]", "localhost", "vms", "h1", "x" * 200]
    bench.write({"name": "s", "hypervisors": [bench.hypervisor("h1", *map(domain, names))]})
    listed = bench.listed()
    renamed = {"localhost": "localhost.s", "vms": "vms.s", "h1": "h1.s"}
    assert set(listed["vms"]["hosts"]) == {renamed.get(name, name) for name in names}
    assert listed["_meta"]["hostvars"]["h1"]["federation_kind"] == "hypervisor"
    assert bench.run("--graph").returncode == 0


def test_one_name_at_two_hypervisors(bench: Bench) -> None:
    bench.write(
        {"name": "es", "hypervisors": [bench.hypervisor("h1", domain("moved"), domain("web", identity="one"))]},
        {"name": "de", "hypervisors": [bench.hypervisor("h2", domain("moved", state="running"), domain("web", identity="two"))]},
    )
    listed = bench.listed()
    assert set(listed["vms"]["hosts"]) == {"moved", "web.es", "web.de"}
    assert listed["_meta"]["hostvars"]["moved"]["federation_hypervisor_name"] == "h2"
    ran = bench.run("--graph")
    assert ran.stderr.count("VM name 'web' is the name of 2 different VMs") == 1


def test_dead_sites_cost_one_timeout_and_no_hosts(bench: Bench, silent_port: int, closed_port: int) -> None:
    silent = [
        {"name": f"silent{number}", "hypervisors": [{"name": f"q{number}", "uri": f"qemu+tcp://127.0.0.1:{silent_port}/{number}"}]}
        for number in range(5)
    ]
    closed = {"name": "closed", "hypervisors": [{"name": "c1", "uri": f"qemu+tls://127.0.0.1:{closed_port}/system"}]}
    bench.write(*silent, closed, {"name": "alive", "hypervisors": [bench.hypervisor("h1", domain("web"))]}, site_timeout=6)
    began = time.monotonic()
    ran = bench.run("--list")
    # One after the other they would take thirty seconds.
    assert time.monotonic() - began < 30
    listed = read(ran.stdout)
    assert listed["unreachable_sites"]["children"] == [*(f"site_silent{number}" for number in range(5)), "site_closed"]
    assert listed["vms"]["hosts"] == ["web"]
    assert listed["_meta"]["hostvars"]["c1"]["federation_reachable"] is False
    # Told by the connection or by who waits for it, whichever notices first.
    assert re.search(r"Site silent0: hypervisor q0 could not be read: .*no answer", ran.stderr)
    assert f"Site closed: hypervisor c1 could not be read: uri='qemu+tls://127.0.0.1:{closed_port}/system'" in ran.stderr


def test_strict_sites(bench: Bench, closed_port: int) -> None:
    dead = {"name": "dead", "hypervisors": [{"name": "c1", "uri": f"qemu+tls://127.0.0.1:{closed_port}/system"}]}
    bench.write(dead, strict_sites=True)
    ran = bench.run("--list")
    assert ran.returncode != 0
    assert "Site dead: hypervisor c1 could not be read" in ran.stderr


def cache_settings(bench: Bench) -> dict[str, str]:
    return {
        "ANSIBLE_INVENTORY_CACHE": "true",
        "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(bench.folder / "cache"),
    }


def test_cache(bench: Bench) -> None:
    cache = cache_settings(bench)
    site = {"name": "s", "hypervisors": [bench.hypervisor("h1", domain("old", description=HOSTILE))]}
    bench.write(site)
    first = bench.listed(**cache)
    bench.hypervisor("h1", domain("new"))
    assert bench.listed(**cache) == first
    ran = bench.run("--list", "--flush-cache", **cache)
    assert read(ran.stdout)["vms"]["hosts"] == ["new"]
    assert bench.listed(**cache)["vms"]["hosts"] == ["new"]
    assert bench.listed()["vms"]["hosts"] == ["new"]


def test_cache_is_void_where_the_site_changed(bench: Bench) -> None:
    cache = cache_settings(bench)
    kept = {"name": "kept", "hypervisors": [bench.hypervisor("h1", domain("a"))]}
    other = {"name": "other", "hypervisors": [bench.hypervisor("h2", domain("b"))]}
    bench.write(kept, other)
    bench.listed(**cache)
    bench.hypervisor("h1", domain("changed"))
    bench.hypervisor("h2", domain("changed"))
    bench.write(kept, {**other, "networks": {"back": "public"}})
    hosts = bench.listed(**cache)["_meta"]["hostvars"]
    assert "a" in hosts and "b" not in hosts
    assert hosts["changed"]["federation_nics"][0]["network"] == "back"


def test_a_failed_site_is_not_cached(bench: Bench, closed_port: int) -> None:
    cache = cache_settings(bench)
    alive = {"name": "alive", "hypervisors": [bench.hypervisor("h1", domain("a"))]}
    late = bench.hypervisor("h2", domain("b"))
    node = bench.folder / "h2.xml"
    hidden = node.rename(bench.folder / "hidden")
    bench.write(alive, {"name": "late", "hypervisors": [late]})
    assert bench.listed(**cache)["unreachable_sites"]["children"] == ["site_late"]
    hidden.rename(node)
    listed = bench.listed(**cache)
    assert set(listed["vms"]["hosts"]) == {"a", "b"}
    assert "unreachable_sites" not in listed


def test_constructed(bench: Bench) -> None:
    bench.write(
        {"name": "s", "hypervisors": [bench.hypervisor("h1", domain("web", state="running"), domain(HOSTILE))]},
        compose={"ansible_user": "'debian' if federation_kind == 'vm' else 'root'", "copied": "federation_name"},
        keyed_groups=[{"key": "federation_state", "prefix": "state"}],
        groups={"small": "federation_memory | default(0) == 67108864"},
    )
    listed = bench.listed()
    assert set(listed["small"]["hosts"]) == {"web", HOSTILE}
    assert listed["state_running"]["hosts"] == ["web"]
    hostvars = listed["_meta"]["hostvars"]
    assert hostvars["web"]["ansible_user"] == "debian" and hostvars["h1"]["ansible_user"] == "root"
    assert hostvars[HOSTILE]["copied"] == HOSTILE


def test_strict_construction_fails(bench: Bench) -> None:
    bench.write({"name": "s", "hypervisors": [bench.hypervisor("h1")]}, compose={"x": "no_such_thing + 1"}, strict=True)
    ran = bench.run("--list")
    assert ran.returncode != 0 and "Could not set x for host h1" in ran.stderr


def test_filters(bench: Bench, closed_port: int) -> None:
    dead = {"name": "dead", "country": "DE", "hypervisors": [{"name": "c1", "uri": f"qemu+tls://127.0.0.1:{closed_port}/system"}]}
    alive = {"name": "alive", "hypervisors": [bench.hypervisor("h1", domain("web", state="running"), domain("off"))]}
    bench.write(alive, dead, filters={"include": [{"country": "ES", "state": "running"}]})
    ran = bench.run("--list")
    assert set(read(ran.stdout)["_meta"]["hostvars"]) == {"h1", "web"}
    assert "dead" not in ran.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sites: [{name: a, provider: P, country: ES}, {name: a, provider: P, country: ES}]", "sites[].name='a': is there twice"),
        ("sites: [{name: a, provider: P, country: XX}]", "sites[0].country='XX': is not a country; use a two-letter"),
        ("sites: [{name: a, provider: P, country: NO}]", "sites[0].country=False: is not a string; put it in quotes"),
        ("sties: []", "sties: is not a known key; did you mean sites?"),
        ("filters: {include: [{contry: ES}]}", "filters.include[0].contry: is not a known key; did you mean country?"),
        (
            "sites: [{name: a, provider: P, country: ES, latitude: 91}]",
            "sites[0].latitude=91: is not a number in range; use -90 to 90",
        ),
    ],
)
def test_bad_files(bench: Bench, text: str, sentence: str) -> None:
    bench.file.write_text(f"plugin: virt8ra.federation.sites\nfederation: t\n{text}\n", encoding="utf-8")
    ran = bench.run("--list")
    assert ran.returncode != 0
    assert f"{bench.file}: {sentence}" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_file_must_be_named_as_one(bench: Bench) -> None:
    bench.write()
    bench.file = bench.file.rename(bench.folder / "t.yml")
    ran = bench.run("--list")
    assert ran.returncode != 0 and "could not be verified" in ran.stderr


def test_the_worked_example_needs_no_network(bench: Bench) -> None:
    bench.file = ROOT / "inventories" / "virt8ra" / "virt8ra.sites.yml"
    began = time.monotonic()
    listed = bench.listed()
    assert time.monotonic() - began < 12
    assert len(listed["unreachable_sites"]["children"]) == 8
    assert len([group for group in listed if group.startswith("country_")]) == 6
