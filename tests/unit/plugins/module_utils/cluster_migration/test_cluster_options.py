# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules' documentation says what their specs say; a policy refuses what cannot be meant."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils import cluster_options
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.policy import Policy
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError

MODULES = Path(__file__).resolve().parents[5] / "plugins" / "modules"
SPECS = {
    "cluster_migration": cluster_options.cluster_migration_spec(),
    "cluster_migration_info": cluster_options.cluster_migration_info_spec(),
}


def documented(module: str) -> dict[str, Any]:
    tree = ast.parse((MODULES / f"{module}.py").read_text(encoding="utf-8"))
    texts = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Constant)
    }
    return dict(yaml.safe_load(texts["DOCUMENTATION"])["options"])


def compare(told: dict[str, Any], spec: dict[str, Any], place: str) -> None:
    assert set(told) == set(spec), place
    for name, option in spec.items():
        for key in ("type", "default", "choices", "elements", "required"):
            assert told[name].get(key) == option.get(key), f"{place}.{name}.{key}"
        if "options" in option:
            compare(told[name]["suboptions"], option["options"], f"{place}.{name}")
        for variable in option.get("fallback", (None, []))[1]:
            assert f"E({variable})" in told[name]["description"]


@pytest.mark.parametrize("module", SPECS)
def test_the_documentation_is_the_spec(module: str) -> None:
    compare(documented(module), SPECS[module], module)


def defaults(spec: dict[str, Any]) -> dict[str, Any]:
    return {name: option.get("default") for name, option in spec.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"connections": 0}, "connections=0: must be from 1 to 64"),
        ({"mover_bandwidth": -1}, "mover_bandwidth=-1: must not be negative; give bytes per second, or 0 for no limit"),
        ({"quiesce_timeout": 0}, "quiesce_timeout=0: must be from 1 to 86400"),
        ({"method": "nodes"}, "run the playbook virt8ra.federation.migrate_cluster_nodes"),
        ({"ready_timeout": -5}, "ready_timeout=-5: must be from 1 to 86400"),
    ],
)
def test_options_that_cannot_be_meant(change: dict[str, Any], message: str) -> None:
    params = defaults(SPECS["cluster_migration"])
    assert Policy.from_options({**params, "method": "workloads"}) == Policy()
    assert "nodes has a playbook" in Policy.from_options(params).reason
    with pytest.raises(InputError, match=message):
        Policy.from_options({**params, **change})
