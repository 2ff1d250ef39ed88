# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The federation file: what is read, and one sentence for everything that cannot be meant."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.federation import Federation, plain

DOCUMENT: dict[str, Any] = {
    "plugin": "virt8ra.federation.sites",
    "federation": "lab",
    "sites": [
        {
            "name": "lab-es",
            "provider": "Arsys",
            "country": "ES",
            "latitude": 42.46,
            "longitude": -2.44,
            "storage": {"ssd": "vms"},
            "hypervisors": [{"name": "lab-es-1", "address": "192.0.2.11"}],
            "clusters": [{"name": "edge", "nodes": [{"name": "edge-1", "role": "server"}, {"name": "edge-2"}]}],
        },
        {"name": "lab-de", "provider": "IONOS", "country": "DE", "hypervisors": [{"name": "lab-de-1"}]},
    ],
}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """DOCUMENT with the value at a path replaced."""
    document = copy.deepcopy(DOCUMENT)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return document


def test_defaults() -> None:
    federation = Federation.from_dict(DOCUMENT)
    assert (federation.site_timeout, federation.strict_sites, federation.vm_name, federation.pki_path) == (15.0, False, "name", "")
    assert federation.sites[0].hypervisors[0].uri == "qemu+tls://192.0.2.11/system"
    assert federation.sites[1].hypervisors[0].address == "lab-de-1"
    assert [node.role for node in federation.sites[0].clusters[0].nodes] == ["server", "agent"]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (changed("sites", 1, "name", to="lab-es"), "sites[].name='lab-es': is there twice; give every entry its own name"),
        (
            changed("sites", 1, "name", to="lab_es"),
            "sites[].name='lab_es': makes the same group as lab-es; make them differ in letters or digits",
        ),
        (
            changed("sites", 1, "hypervisors", 0, "name", to="lab-es-1"),
            "sites[].hypervisors[].name='lab-es-1': is there twice; give every entry its own name",
        ),
        (
            changed("sites", 1, "hypervisors", 0, "address", to="192.0.2.11"),
            "sites[].hypervisors[].uri='qemu+tls://192.0.2.11/system': is there twice; give every entry its own name",
        ),
        (
            changed("sites", 1, "hypervisors", 0, "name", to="edge-1"),
            "sites[].clusters[].nodes[].name='edge-1': is also a hypervisor of site lab-de; give every machine its own name",
        ),
        (
            changed("sites", 0, "country", to="UK"),
            "sites[0].country='UK': is not a country; use a two-letter ISO 3166-1 code such as ES or DE",
        ),
        (changed("sites", 0, "country", to="es"), "sites[0].country='es': is not a country; write it in capitals: ES"),
        (changed("sites", 0, "country", to=False), "sites[0].country=False: is not a string; put it in quotes"),
        (changed("sites", 0, "latitude", to=142.46), "sites[0].latitude=142.46: is not a number in range; use -90 to 90"),
        (changed("sites", 0, "longitude", to="west"), "sites[0].longitude='west': is not a number in range; use -180 to 180"),
        (changed("sites", 0, "hypervisor", to=[]), "sites[0].hypervisor: is not a known key; did you mean hypervisors?"),
        (changed("site", to=[]), "site: is not a known key; did you mean sites?"),
        (changed("sites", 0, "provider", to=None), "sites[0].provider: is required but not given; add the key provider"),
        (changed("site_timeout", to=0), "site_timeout=0: is not a number in range; use 0.1 to 3600.0"),
        (changed("strict_sites", to="yes"), "strict_sites='yes': is not true or false; write true or false"),
        (changed("vm_name", to="uuid"), "vm_name='uuid': is not one of the choices; use one of name, name_at_site"),
        (changed("sites", to={}), "sites={}: is not a list; write a list (items that start with a dash)"),
        (changed("federation", to=None), "federation: is required but not given; add the key federation"),
    ],
)
def test_one_sentence(document: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        Federation.from_dict(document)
    assert str(caught.value) == sentence


def test_a_hypervisor_may_be_a_node_of_its_own_site() -> None:
    Federation.from_dict(changed("sites", 0, "clusters", 0, "nodes", 0, "name", to="lab-es-1"))


def test_plain_takes_the_loaders_types_away() -> None:
    class Tagged(str):
        """As a YAML loader marks what it read."""

    copied = plain({"issued": datetime.date(2026, 1, 31), "name": Tagged("lab"), "list": (1, 2.5)})
    assert copied == {"issued": "2026-01-31", "name": "lab", "list": [1, 2.5]}
    assert not isinstance(copied["name"], Tagged)
