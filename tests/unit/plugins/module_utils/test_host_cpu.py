# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processors of other hypervisors as options have them, and what all of them can run."""

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.host_cpu import HostCpu, common_models, read_cpus
from ansible_collections.virt8ra.federation.plugins.module_utils.options import cpus_spec

CPU = {
    "hypervisor": "de-1",
    "accelerator": "kvm",
    "description": "<cpu><model>EPYC</model></cpu>",
    "models": ["EPYC"],
    "known_models": ["EPYC", "EPYC-Rome"],
}


def test_there_and_back():
    (read,) = read_cpus([CPU], "cpus")
    assert read.to_dict() == CPU


def test_the_options_are_its_keys():
    assert set(cpus_spec()["options"]) == set(CPU)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"description": "<cpu>"}, "cpus[0].description='<cpu>': is no CPU in libvirt's XML; give it as site_info returned it"),
        ({"description": "<domain/>"}, "cpus[0].description='<domain/>': is no CPU in libvirt's XML"),
        ({"accelerator": "xen"}, "cpus[0].accelerator='xen': is not one of the choices; use one of kvm, tcg"),
        ({"accelerator": None}, "cpus[0].accelerator: is required but not given"),
        ({"hypervisor": ""}, "cpus[0].hypervisor='': is not a usable name"),
        ({"models": "EPYC"}, "cpus[0].models='EPYC': is not a list of strings"),
        ({"modles": []}, "cpus[0].modles: is not a known key; did you mean models?"),
    ],
)
def test_what_is_written_wrongly_is_refused(wrong, sentence):
    with pytest.raises(InputError) as caught:
        read_cpus([{**CPU, **wrong}], "cpus")
    assert str(caught.value).startswith(sentence)


def test_the_models_that_all_can_run_begin_with_the_default():
    cpus = [HostCpu("a", "kvm", "", models, ()) for models in (("EPYC", "Nehalem", "Conroe"), ("Nehalem", "Conroe", "Penryn"))]
    assert common_models(cpus) == ["Nehalem", "Conroe"]
