# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters: what need not be asked, and one sentence for what cannot be meant. What they keep: test_inventory_contents."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site
from ansible_collections.virt8ra.federation.plugins.module_utils.selection import Selection

ES = Site(name="es", provider="Arsys", country="ES", labels={"tier": "core"})
DE = Site(name="de", provider="IONOS", country="DE")


def selection(include: Any = (), exclude: Any = ()) -> Selection:
    return Selection.from_dict({"include": list(include), "exclude": list(exclude)})


def test_what_cannot_be_wanted_is_not_asked() -> None:
    assert selection().wants_site(ES) and Selection.from_dict(None).wants_all
    assert not selection([{"country": "DE"}]).wants_site(ES)
    assert not selection(exclude=[{"label": {"tier": "co*"}}]).wants_site(ES)
    assert selection(exclude=[{"country": "ES", "state": "stopped"}]).wants_site(ES)
    assert not selection([{"kind": "hypervisor"}]).wants_vms(ES, "es-1")
    assert not selection(exclude=[{"kind": "vm", "site": "de"}]).wants_vms(DE, "de-1")
    assert selection(exclude=[{"kind": "vm", "site": "de"}]).wants_vms(ES, "es-1")
    assert selection([{"hypervisor": "es-1"}]).wants_vms(ES, "es-1")
    assert not selection([{"hypervisor": "es-1"}]).wants_vms(ES, "es-2")


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({"inclde": []}, "filters.inclde: is not a known key; did you mean include?"),
        (
            {"include": {"country": "ES"}},
            "filters.include={'country': 'ES'}: is not a list; write a list (items that start with a dash)",
        ),
        ({"include": [{"contry": "ES"}]}, "filters.include[0].contry: is not a known key; did you mean country?"),
        (
            {"exclude": [{"state": "off"}]},
            "filters.exclude[0].state='off': matches none of the choices; use one of running, paused, stopped, crashed",
        ),
        (
            {"include": [{"country": 5}]},
            "filters.include[0].country=5: is not a string or a list of strings; put strings in quotes",
        ),
        ({"include": [{}]}, "filters.include[0]: is an empty rule; give at least one key, or leave the rule out"),
        ({"include": [{"label": "core"}]}, "filters.include[0].label='core': is not a mapping; write label: {key: value}"),
        ("ES", "filters='ES': is not a mapping; write keys and values"),
    ],
)
def test_one_sentence(filters: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        Selection.from_dict(filters)
    assert str(caught.value) == sentence
