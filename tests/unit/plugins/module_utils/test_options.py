# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The argument specs, and that the shared documentation says the same."""

from __future__ import annotations

import dataclasses
import importlib

import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils import options
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Disk, Nic, Vm

PREFIX = "ansible_collections.virt8ra.federation.plugins"


def documented(fragment, part="DOCUMENTATION"):
    module = importlib.import_module(f"{PREFIX}.doc_fragments.{fragment}")
    return yaml.safe_load(getattr(module.ModuleDocFragment, part))["options"]


@pytest.mark.parametrize(
    ("fragment", "part", "spec"),
    [
        ("libvirt", "DOCUMENTATION", options.libvirt_spec()),
        ("kubernetes", "DOCUMENTATION", options.kubernetes_spec()),
        ("site", "DOCUMENTATION", options.site_spec()),
        ("site", "HYPERVISOR", options.hypervisor_spec()),
    ],
)
def test_fragments_document_the_specs(fragment, part, spec):
    told = documented(fragment, part)
    assert told.keys() == spec.keys()
    for name, option in spec.items():
        for key in ("type", "default", "required"):
            assert told[name].get(key) == option.get(key), f"{name}.{key}"
        for variable in option.get("fallback", (None, []))[1]:
            assert f"E({variable})" in " ".join(told[name]["description"])


def test_plugins_read_the_same_environment():
    spec = options.libvirt_spec()
    for name, option in documented("libvirt", "PLUGIN").items():
        assert [entry["name"] for entry in option["env"]] == spec[name]["fallback"][1]
        assert option.get("default") == spec[name].get("default")


@pytest.mark.parametrize(
    ("spec", "model"),
    [
        (options.vm_spec(), Vm),
        (options.vm_spec()["disks"]["options"], Disk),
        (options.vm_spec()["nics"]["options"], Nic),
    ],
)
def test_the_portable_spec_has_exactly_the_keys_of_the_model(spec, model):
    assert set(spec) == {field.name for field in dataclasses.fields(model)}


def test_nothing_of_the_portable_spec_has_a_default():
    """A default would change a VM that exists in what its owner never wrote."""
    spec = options.vm_spec()
    for part in (spec, spec["disks"]["options"], spec["nics"]["options"]):
        assert not [name for name, option in part.items() if "default" in option]
