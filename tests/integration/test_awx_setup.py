# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook awx_setup against a double of AWX's API: applied, applied again, foreseen, refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
from types import SimpleNamespace

import pytest

from tests.doubles.awx.server import Awx

from .lab import ROOT, command, environment

PLAYBOOKS = [f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml")]
KEY = "-----BEGIN KEY-----\nof the test {{ 7*7 }}\n-----END KEY-----"


@pytest.fixture
def awx():
    """Empty but for what every AWX has; pages of two objects."""
    with Awx([*PLAYBOOKS, "playbooks/compliance.yml"], page_size=2) as awx:
        yield awx


def apply(awx, *arguments, token=None, host=None, **extra):
    """``{rc, shown, changed, writes}`` of one run of the playbook."""
    before = awx.store.writes
    secrets = {
        "AWX_TLS_CA_CERTIFICATE": "CA",
        "AWX_TLS_CERTIFICATE": "CERT",
        "AWX_TLS_KEY": KEY,
        "AWX_NOTIFY_URL": "https://hook.example/x",
    }
    given = {**secrets, "AWX_FEDERATION_URL": "https://git.example/f.git", "CONTROLLER_HOST": host or awx.url}
    argv = [command("ansible-playbook"), "-i", os.devnull, "playbooks/awx_setup.yml", "-e", json.dumps(extra), *arguments]
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env=environment(**given, CONTROLLER_OAUTH_TOKEN=token or awx.token),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    shown = done.stdout + done.stderr
    recap = re.search(r"changed=(\d+)", shown)
    changed = int(recap.group(1)) if recap else None
    return SimpleNamespace(rc=done.returncode, shown=shown, changed=changed, writes=awx.store.writes - before)


def one(awx, plural, name):
    return awx.store.listed(plural, {"name": name})[0]


def test_everything_is_made_and_a_second_run_changes_nothing(awx):
    foreseen = apply(awx, "--check")
    assert (foreseen.rc, foreseen.writes) == (0, 0), foreseen.shown
    assert foreseen.changed
    first = apply(awx)
    assert first.rc == 0, first.shown
    assert first.changed
    second = apply(awx)
    assert (second.rc, second.changed, second.writes) == (0, 0, 0), second.shown
    again = apply(awx, "--check")
    assert (again.rc, again.changed, again.writes) == (0, 0, 0), again.shown
    assert KEY.splitlines()[1] not in foreseen.shown + first.shown + second.shown + again.shown

    # Secrets are sent as they are, and shown to nobody.
    sent = [body for _method, _path, body in awx.requests if isinstance(body, dict) and body.get("name") == "virt8ra libvirt"]
    assert sent[0]["inputs"]["key"] == KEY
    assert one(awx, "credentials", "virt8ra libvirt")["inputs"]["key"] == "$encrypted$"
    assert one(awx, "credentials", "virt8ra reports")["inputs"] == {}

    # What AWX itself templates came over as it stands.
    assert one(awx, "credential_types", "virt8ra libvirt TLS")["injectors"]["file"]["template.key"] == "{{ key }}"
    assert json.loads(one(awx, "job_templates", "virt8ra deploy")["extra_vars"])["spec"]["name"] == "{{ vm_name }}"

    # From the plan to the migration only through a person.
    workflow = one(awx, "workflow_job_templates", "virt8ra migrate cluster with approval")["id"]
    nodes = {
        node["identifier"]: node
        for node in awx.store.listed("workflow_job_template_nodes", {"workflow_job_template": str(workflow)})
    }
    assert [node["identifier"] for node in awx.store.related(nodes["plan"]["id"], "success_nodes")] == ["approve"]
    assert [node["identifier"] for node in awx.store.related(nodes["approve"]["id"], "success_nodes")] == ["migrate"]
    assert awx.store.shown(nodes["approve"]["unified_job_template"])["type"] == "workflow_approval_template"

    # What somebody changed by hand is put back, and nothing else.
    template = one(awx, "job_templates", "virt8ra migrate VM")["id"]
    awx.store.change(template, {"description": "by hand"})
    mended = apply(awx)
    assert (mended.rc, mended.changed, mended.writes) == (0, 1, 1), mended.shown
    assert one(awx, "job_templates", "virt8ra migrate VM")["description"] != "by hand"


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"token": "wrong"}, "Invalid authentication credentials"),
        ({"host": "http://awx.example"}, "awx_setup_host is http://awx.example"),
        ({"awx_federation_url": ""}, "awx_federation_url is not given"),
    ],
    ids=["token", "host", "federation"],
)
def test_bad_input_is_refused_with_nothing_made(awx, change, wrong):
    refused = apply(awx, **change)
    assert refused.rc != 0
    assert wrong in " ".join(refused.shown.split())
    assert refused.writes == 0


def test_a_playbook_that_the_project_has_not_is_told(awx):
    awx.store.playbooks.remove("playbooks/deploy.yml")
    refused = apply(awx)
    assert refused.rc != 0
    assert "Playbook not found for project: playbooks/deploy.yml" in refused.shown
