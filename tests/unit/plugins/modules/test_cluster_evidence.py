# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module cluster_evidence where only the host of a server is read: what it needs there, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.k3s_areas import OWN, SHARED

from tests.conftest import COLLECTIONS, ROOT

# As on a server: no library for Kubernetes or libvirt, which are then no modules that can be imported.
RUN = """
import json, sys
sys.modules.update(dict.fromkeys(["kubernetes", "libvirt", "urllib3"]))
from ansible.module_utils import basic
from ansible_collections.virt8ra.federation.plugins.modules import cluster_evidence
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.argv[1].encode(), "legacy"
try:
    cluster_evidence.main()
finally:
    asked = [name for name in sys.modules if "module_utils.backends.kubernetes" in name]
    print(json.dumps(asked))
"""


def run(**params):
    """The module's result, and the modules of the back end for Kubernetes that it imported."""
    arguments = {"site": {"name": "rioja", "provider": "Arsys", "country": "ES"}, "name": "edge", **params}
    given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
    environment = {**os.environ, "PYTHONPATH": str(COLLECTIONS)}
    environment.pop("VIRT8RA_KUBECONFIG", None)
    done = subprocess.run(
        [sys.executable, "-c", RUN, given], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    result, asked = done.stdout.strip().splitlines()
    return json.loads(result), json.loads(asked)


def test_a_server_needs_no_library_for_kubernetes(tmp_path):
    result, asked = run(api=False, k3s=True, server="edge-1", k3s_binary=str(tmp_path / "k3s"))
    assert not result["changed"]
    (subject,) = result["evidence"]["subjects"]
    assert (subject["type"], subject["name"], subject["site"]) == ("cluster", "edge", "rioja")
    assert set(subject["facts"]) == {*OWN, *SHARED}
    assert all(fact["error"].startswith("server edge-1: ") for fact in subject["facts"].values())
    assert asked == []


@pytest.mark.parametrize(
    ("params", "told"),
    [({"api": False}, "api=False: leaves nothing to be measured without k3s"), ({}, "kubeconfig"), ({"k3s": True}, "kubeconfig")],
)
def test_what_cannot_be_meant_is_refused(params, told):
    result, _asked = run(**params)
    assert result["failed"] and told in result["msg"]


def test_the_role_knows_the_areas_of_a_server_that_is_away():
    known = yaml.safe_load((ROOT / "roles/compliance/vars/main.yml").read_text(encoding="utf-8"))
    assert (known["__compliance_shared_areas"], known["__compliance_own_areas"]) == ([*SHARED], [*OWN])
