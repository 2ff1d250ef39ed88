# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module compliance_evidence, from its options to what the judge reads, with libvirt's own driver."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils import basic
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.subjects import read_subjects
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, NotFoundError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site
from ansible_collections.virt8ra.federation.plugins.modules import compliance_evidence

SITE = {"name": "rioja", "provider": "Arsys", "country": "ES"}
HYPERVISOR = {"tls", "plain_tcp", "libvirt_tls", "mitigations", "hardware", "audit", "log_forwarding", "pools"}
HYPERVISOR |= {"packages", "repositories", "licences", "sbom", "logins", "peers", "services"}


class Bare:
    """A host that has none of what is asked for."""

    def read(self, path):
        raise NotFoundError(f"there is no {path}")

    names = changed = read

    def run(self, *command, accepts=(0,)):
        raise NotFoundError(f"there is no command {command[0]}")

    def listens(self, address, port, timeout=3.0):
        raise BackendError(f"{address} port {port} neither accepted nor refused a connection")


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the module with these options; its result."""

    def run(**params):
        arguments = {"uri": "test:///default", "site": SITE, "hypervisor": "kvm1", "address": "192.0.2.1", **params}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        monkeypatch.setattr(compliance_evidence, "Host", Bare)
        with pytest.raises(SystemExit):
            compliance_evidence.main()
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def closed_port(monkeypatch):
    """No TLS port, whatever runs on this machine."""

    def refuse(address, port, *_more):
        raise BackendError(f"{address} port {port} made no TLS handshake")

    monkeypatch.setattr(
        "ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.transport.handshake", refuse
    )


@pytest.mark.usefixtures("closed_port")
def test_what_a_bare_host_cannot_tell_is_an_error_each(run):
    result = run()
    assert result["changed"] is False
    hypervisor, vm = result["evidence"]["subjects"]
    assert (hypervisor["type"], hypervisor["name"], hypervisor["site"]) == ("hypervisor", "kvm1", "rioja")
    assert set(hypervisor["facts"]) == HYPERVISOR
    for area, fact in hypervisor["facts"].items():
        assert set(fact) == {"how", "error"}, area
        assert "\n" not in fact["error"]
    assert (vm["type"], vm["name"], set(vm["facts"])) == ("vm", "test", {"security_label", "machine", "disks", "receipts"})
    assert vm["facts"]["security_label"]["data"] == {"running": True, "labels": [], "confined": False}


@pytest.mark.usefixtures("closed_port")
def test_the_judge_reads_it(run):
    subjects, newest = read_subjects([run()["evidence"]], [Site.from_dict(SITE)])
    assert [(one.type, one.name) for one in subjects] == [("hypervisor", "kvm1"), ("site", "rioja"), ("vm", "test")]
    assert newest.endswith("Z")


def test_no_libvirt_is_a_failure_and_no_evidence(run):
    result = run(uri="test:///no/such/file.xml")
    assert result["failed"] is True
    assert "evidence" not in result
    assert "cannot be reached" in result["msg"]
