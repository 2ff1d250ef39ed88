# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports in, hosts and groups out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.federation import Federation
from ansible_collections.virt8ra.federation.plugins.module_utils.inventory import (
    NODE_KEYS,
    VM_KEYS,
    Contents,
    arrange,
    cluster_key,
    fault_lines,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.selection import Selection

FEDERATION: dict[str, Any] = {
    "federation": "lab",
    "sites": [
        {
            "name": "es",
            "provider": "Arsys S.L.",
            "country": "ES",
            "labels": {"tier": "core"},
            "hypervisors": [{"name": "es-1", "address": "192.0.2.11"}, {"name": "es-2", "address": "192.0.2.12"}],
            "clusters": [{"name": "edge", "nodes": [{"name": "edge-1", "address": "192.0.2.21"}]}],
        },
        {"name": "de", "provider": "IONOS", "country": "DE", "hypervisors": [{"name": "de-1", "address": "192.0.2.13"}]},
    ],
}


def vm(name: str, uuid: str = "", **others: Any) -> dict[str, Any]:
    """A VM as ``bulk`` reads it."""
    read: dict[str, Any] = dict.fromkeys(VM_KEYS, "")
    read.update(
        state="stopped", cpus=1, memory=2**26, disks=[], nics=[], allowed_countries=[], owner=None, managed=False, addresses=[]
    )
    read.update(name=name, uuid=uuid or f"uuid of {name}", **others)
    return read


def arranged(es1: Any = (), de1: Any = (), filters: Any = None, reserved: Any = (), **settings: Any) -> Contents:
    reports = {"es-1": {"vms": list(es1)}, "es-2": {"vms": []}, "de-1": {"vms": list(de1)}}
    return arrange(Federation.from_dict({**FEDERATION, **settings}), reports, Selection.from_dict(filters), reserved)


def test_declared_hosts_and_groups() -> None:
    contents = arranged()
    assert list(contents.hosts) == ["es-1", "es-2", "edge-1", "de-1"]
    hypervisor = contents.hosts["es-1"]
    federation = Federation.from_dict(FEDERATION)
    assert hypervisor.variables == {
        "ansible_host": "192.0.2.11",
        "federation_kind": "hypervisor",
        "federation_name": "es-1",
        "federation_site": federation.sites[0].to_dict(),
        "federation_hypervisor": federation.sites[0].hypervisors[0].to_dict(),
        "federation_hypervisor_name": "es-1",
        "federation_reachable": True,
        "federation_images": [],
        "federation_compliance": {"federation": "lab", "waivers": [], "sites_without_hosts": []},
        "federation_site_name": "es",
        "federation_provider": "Arsys S.L.",
        "federation_country": "ES",
    }
    assert hypervisor.groups == ("hypervisors", "site_es")
    assert contents.hosts["edge-1"].groups == ("nodes", "cluster_edge", "site_es")
    assert contents.hosts["edge-1"].variables["federation_cluster"]["name"] == "edge"
    assert contents.children["provider_Arsys_S_L_"] == contents.children["country_ES"] == ["site_es"]
    assert contents.children["clusters"] == ["cluster_edge"]
    assert {"hypervisors", "vms", "clusters", "nodes", "unreachable_sites"} <= set(contents.children[""])


def test_a_site_without_hosts_is_not_forgotten() -> None:
    empty = {"name": "later", "provider": "BIT", "country": "NL", "clusters": [{"name": "unborn"}]}
    contents = arranged(sites=[*FEDERATION["sites"], empty])
    assert [site["name"] for site in contents.hosts["es-1"].variables["federation_compliance"]["sites_without_hosts"]] == ["later"]


def test_a_vm() -> None:
    host = arranged([vm("web", state="running", addresses=["198.51.100.5", "2001:db8::5"])]).hosts["web"]
    assert host.groups == ("vms", "site_es")
    assert host.variables["ansible_host"] == "198.51.100.5"
    assert host.variables["federation_kind"] == "vm"
    assert host.variables["federation_hypervisor_name"] == "es-1"
    assert {f"federation_{key}" for key in VM_KEYS} <= set(host.variables)
    assert "ansible_host" not in arranged([vm("web")]).hosts["web"].variables


def test_a_dead_site_keeps_its_declared_hosts() -> None:
    federation = Federation.from_dict(FEDERATION)
    reports = {"es-1": {"vms": [vm("web")]}, "es-2": {"fault": "is gone"}, "de-1": {"fault": "is dead"}}
    contents = arrange(federation, reports, Selection())
    assert contents.children["unreachable_sites"] == ["site_de"]
    assert contents.hosts["es-2"].groups == ("hypervisors", "site_es", "unreachable_sites")
    assert [contents.hosts[name].variables["federation_reachable"] for name in ("es-1", "es-2", "de-1")] == [True, False, False]
    assert "web" in contents.hosts
    assert fault_lines(federation, reports) == [
        "Site es: hypervisor es-2 could not be read: is gone",
        "Site de: hypervisor de-1 could not be read: is dead",
    ]


def owner(hypervisor: str, epoch: int) -> dict[str, Any]:
    return {"hypervisor": hypervisor, "epoch": epoch}


@pytest.mark.parametrize(
    ("at_es", "at_de", "kept"),
    [
        ({"owner": owner("de-1", 2)}, {"owner": owner("de-1", 2)}, "de-1"),
        ({"owner": owner("es-1", 3)}, {"owner": owner("de-1", 2)}, "es-1"),
        ({"owner": owner("es-1", 1), "state": "running"}, {"owner": owner("de-1", 2)}, "de-1"),
        ({}, {"state": "running"}, "de-1"),
        ({"state": "running"}, {}, "es-1"),
        ({}, {}, "es-1"),
    ],
)
def test_copies_of_a_migration_are_one_host(at_es: dict[str, Any], at_de: dict[str, Any], kept: str) -> None:
    contents = arranged([vm("web", "same", **at_es)], [vm("web", "same", **at_de)])
    assert contents.hosts["web"].variables["federation_hypervisor_name"] == kept
    assert len(contents.hosts) == 5
    assert contents.warnings == []


def test_different_vms_of_one_name_are_both_kept_and_told_apart() -> None:
    contents = arranged([vm("web", "one")], [vm("web", "two")])
    assert "web" not in contents.hosts
    assert contents.hosts["web.es"].variables["federation_uuid"] == "one"
    assert contents.hosts["web.de"].variables["federation_uuid"] == "two"
    assert len(contents.warnings) == 1 and "'web'" in contents.warnings[0]


def test_told_apart_to_the_end() -> None:
    """Two of one name at one hypervisor cannot be; the names that would tell them apart can be taken all the same."""
    contents = arranged([vm("web", "one"), vm("web", "two"), vm("web", "three"), vm("web.es", "four")])
    uuids = {host.variables["federation_uuid"] for host in contents.hosts.values() if host.variables["federation_kind"] == "vm"}
    assert uuids == {"one", "two", "three", "four"}


@pytest.mark.parametrize(
    "name", ["de-1", "edge-1", "localhost", "127.0.0.1", "all", "vms", "site_de", "provider_IONOS", "other", ".", ".."]
)
def test_a_vm_takes_no_name_that_means_something_else(name: str) -> None:
    before = arranged().hosts
    contents = arranged([vm(name)], reserved=["other"])
    assert contents.hosts[f"{name}.es"].variables["federation_name"] == name
    assert {host: contents.hosts[host] for host in before} == before
    assert len(contents.warnings) == 1


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("a/b", "a_b"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("a\nb\tc", "a_b_c"),
        ("with space", "with space"),
        ("Łódź-ß-日本", "Łódź-ß-日本"),
        ("{{ lookup('pipe','id') }}", "{{ lookup('pipe','id') }}"),
        ("a\u2028b\\c", "a_b_c"),
    ],
)
def test_hostile_names(name: str, host: str) -> None:
    assert arranged([vm(name)]).hosts[host].variables["federation_name"] == name


def test_vm_name_at_site() -> None:
    contents = arranged([vm("web", "one")], [vm("web", "two"), vm("db")], vm_name="name_at_site")
    assert {"web.es", "web.de", "db.de"} <= set(contents.hosts)
    assert contents.warnings == []


def names(contents: Contents) -> set[str]:
    return set(contents.hosts)


def test_filters() -> None:
    es = [vm("web-1", state="running", managed=True), vm("scratch-1", state="running"), vm("db-1")]
    de = [vm("web-2", state="running")]
    declared = {"es-1", "es-2", "edge-1", "de-1"}
    vms = {"web-1", "scratch-1", "db-1", "web-2"}

    def kept(include: Any = (), exclude: Any = ()) -> set[str]:
        return names(arranged(es, de, {"include": list(include), "exclude": list(exclude)}))

    assert kept() == declared | vms
    assert kept([{"country": "ES"}]) == (declared | vms) - {"de-1", "web-2"}
    assert kept([{"site": ["es", "x*"]}, {"kind": "hypervisor"}]) == (declared | vms) - {"web-2"}
    assert kept([{"state": "running"}]) == declared | {"web-1", "scratch-1", "web-2"}
    assert kept([{"name": "web-*", "country": ["ES", "DE"]}], [{"provider": "IONOS"}]) == (declared - {"de-1"}) | {"web-1"}
    assert kept(exclude=[{"name": "scratch-*"}, {"state": "stopped"}]) == declared | {"web-1", "web-2"}
    assert kept([{"label": {"tier": "core"}}]) == (declared | vms) - {"de-1", "web-2"}
    assert kept([{"managed": True}]) == declared | {"web-1"}
    assert kept([{"kind": "vm", "hypervisor": "de-*"}]) == {"web-2"}
    assert kept(exclude=[{"kind": ["hypervisor", "node"]}]) == vms


def node(name: str, address: str = "", **others: Any) -> dict[str, Any]:
    """A node as ``node_facts`` reads it."""
    read: dict[str, Any] = dict.fromkeys(NODE_KEYS, "")
    addresses = [{"type": "InternalIP", "address": address}] if address else []
    read.update(name=name, uid=f"uid of {name}", address=address, addresses=addresses, role="agent", roles=[], ready=True)
    read.update(others)
    return read


def with_cluster(report: dict[str, Any], es1: Any = (), **settings: Any) -> Contents:
    reports = {"es-1": {"vms": list(es1)}, "es-2": {"vms": []}, "de-1": {"vms": []}, cluster_key("edge"): report}
    return arrange(Federation.from_dict({**FEDERATION, **settings}), reports, Selection())


def test_a_declared_node_that_answers_is_filled_in() -> None:
    contents = with_cluster({"nodes": [node("Edge-1", "10.0.0.1", role="server", version="v1.36.1+k3s1")]})
    host = contents.hosts["edge-1"]
    assert (
        host.variables["federation_node"] | {"address": "192.0.2.21", "role": "agent", "name": "edge-1"}
        == host.variables["federation_node"]
    )
    assert host.variables["federation_node"]["version"] == "v1.36.1+k3s1" and host.variables["federation_node"]["ready"] is True
    assert host.variables["ansible_host"] == "192.0.2.21" and host.variables["federation_reachable"] is True
    assert [name for name in contents.hosts if name.lower() == "edge-1"] == ["edge-1"]


def test_a_node_that_only_the_api_shows_is_a_host() -> None:
    contents = with_cluster({"nodes": [node("edge-9", "192.0.2.29")]})
    host = contents.hosts["edge-9"]
    assert host.groups == ("nodes", "cluster_edge", "site_es")
    assert host.variables["ansible_host"] == "192.0.2.29"
    assert host.variables["federation_kind"] == "node" and host.variables["federation_cluster"]["name"] == "edge"
    assert "ready" not in contents.hosts["edge-1"].variables["federation_node"]


def test_a_cluster_that_does_not_answer_keeps_its_declared_nodes() -> None:
    contents = with_cluster({"fault": "is down"})
    assert contents.hosts["edge-1"].groups == ("nodes", "cluster_edge", "site_es", "unreachable_sites")
    assert contents.hosts["edge-1"].variables["federation_reachable"] is False
    assert "unreachable_sites" not in contents.children
    lines = fault_lines(Federation.from_dict(FEDERATION), {cluster_key("edge"): {"fault": "is down"}})
    assert lines == ["Site es: cluster edge could not be read: is down"]


def test_a_site_of_which_nothing_answers_is_unreachable() -> None:
    dead = {"fault": "is down"}
    reports = {"es-1": dead, "es-2": dead, cluster_key("edge"): dead}
    contents = arrange(Federation.from_dict(FEDERATION), reports, Selection())
    assert contents.children["unreachable_sites"] == ["site_es"]
    reports[cluster_key("edge")] = {"nodes": []}
    contents = arrange(Federation.from_dict(FEDERATION), reports, Selection())
    assert "unreachable_sites" not in contents.children and "unreachable_sites" in contents.hosts["es-1"].groups


def test_a_vm_at_an_address_of_the_node_is_the_node() -> None:
    contents = with_cluster({"nodes": [node("k-1", "192.0.2.30")]}, [vm("k-1", addresses=["192.0.2.30"])])
    host = contents.hosts["k-1"]
    assert host.variables["federation_kind"] == "vm" and host.variables["federation_node"]["name"] == "k-1"
    assert host.groups == ("vms", "site_es", "nodes", "cluster_edge") and not contents.warnings


@pytest.mark.parametrize("addresses", [[], ["192.0.2.99"]])
def test_a_vm_elsewhere_is_another_machine(addresses: list[str]) -> None:
    contents = with_cluster({"nodes": [node("k-1", "192.0.2.30")]}, [vm("k-1", addresses=addresses)])
    assert "federation_node" not in contents.hosts["k-1"].variables
    assert contents.hosts["k-1.edge"].variables["ansible_host"] == "192.0.2.30"
    assert "Node name 'k-1' of cluster edge is taken" in contents.warnings[0]


@pytest.mark.parametrize("name", ["es-1", "de-1", "localhost", "all", "site_es", ""])
def test_a_node_takes_no_name_that_means_something_else(name: str) -> None:
    plain = arranged()
    contents = with_cluster({"nodes": [node(name, "192.0.2.66")]})
    assert contents.hosts[f"{name}.edge"].variables["ansible_host"] == "192.0.2.66"
    assert {host: contents.hosts[host].groups for host in plain.hosts} == {host: plain.hosts[host].groups for host in plain.hosts}


def test_nodes_of_one_name_are_all_kept() -> None:
    contents = with_cluster({"nodes": [node("es-1") for _number in range(5)]})
    assert [host for host in contents.hosts if host.startswith("es-1.")] == [
        "es-1.edge", "es-1.edge.es", "es-1.edge.es-2", "es-1.edge.es-3", "es-1.edge.es-4",
    ]  # fmt: skip


def test_a_hostile_node_is_data() -> None:
    name = "../{{ lookup('pipe','id') }}\n"
    host = with_cluster({"nodes": [node(name)]}).hosts[".._{{ lookup('pipe','id') }}_"]
    assert host.variables["federation_name"] == name and "ansible_host" not in host.variables


def test_nodes_that_are_not_wanted_are_left_out() -> None:
    reports = {cluster_key("edge"): {"nodes": [node("edge-9")]}}
    selection = Selection.from_dict({"exclude": [{"kind": "node"}]})
    assert not [name for name in arrange(Federation.from_dict(FEDERATION), reports, selection).hosts if name.startswith("edge")]
