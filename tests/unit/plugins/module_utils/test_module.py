# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base of the modules: one way in, one way out."""

from __future__ import annotations

import io
import json

import pytest
from ansible import __version__ as ansible_version
from ansible.module_utils import basic
from ansible_collections.virt8ra.federation.plugins.module_utils import module as module_base
from ansible_collections.virt8ra.federation.plugins.module_utils.cloud_init.seed import secrets
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.options import cloud_init_spec, libvirt_spec, site_spec

SITE = {"name": "es-madrid", "provider": "Arsys", "country": "ES"}
SPEC = {**libvirt_spec(), **site_spec()}


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a module with these options; its result and exit status."""

    def run(work, params, *, diff=False, check=False, spec=None):
        arguments = {"ANSIBLE_MODULE_ARGS": {**params, "_ansible_diff": diff, "_ansible_check_mode": check}}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(arguments).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        monkeypatch.setattr("sys.stdin", io.StringIO())
        with pytest.raises(SystemExit) as left:
            module_base.run_module(spec or SPEC, work)
        return json.loads(capsys.readouterr().out), left.value.code

    return run


def test_a_result_is_returned_with_changed(run):
    result, status = run(lambda module: {"found": module.site.country}, {"site": SITE})
    assert (result["found"], result["changed"], status) == ("ES", False, 0)


def test_a_fault_of_ours_is_one_sentence_and_its_parts(run):
    def work(module):
        raise InputError("is not right", option="disks[0].size", value="x", remedy="write a size")

    result, status = run(work, {"site": SITE})
    assert status == 1
    assert result["failed"] is True
    assert result["msg"] == "disks[0].size='x': is not right; write a size"
    assert result["error"] == {"what": "is not right", "option": "disks[0].size", "value": "x", "remedy": "write a size"}


def test_a_defect_is_not_swallowed(run, monkeypatch):
    with pytest.raises(ZeroDivisionError):
        run(lambda module: {"x": 1 / 0}, {"site": SITE})


def test_the_diff_is_sorted_and_only_in_diff_mode(run):
    def work(module):
        return {"changed": True, "diff": {"before": {}, "after": {"b": 1, "a": "{{ x }}"}}}

    assert "diff" not in run(work, {"site": SITE})[0]
    told = run(work, {"site": SITE}, diff=True)[0]["diff"]
    assert told == {"before": "", "after": '{\n  "a": "{{ x }}",\n  "b": 1\n}\n'}


def test_check_mode_is_known_to_the_work(run):
    assert run(lambda module: {"seen": module.check_mode}, {"site": SITE}, check=True)[0]["seen"] is True


def test_a_wrong_site_is_told_by_its_path(run):
    result, _status = run(lambda module: {"x": module.site}, {"site": {**SITE, "contry": "ES"}})
    assert result["error"]["option"] == "site.contry"


def test_a_site_without_hypervisors_is_refused(run):
    result, _status = run(lambda module: {"x": module.backend()}, {"site": {**SITE, "backend": "kubernetes"}})
    assert result["error"]["option"] == "site.backend"


def test_options_come_from_the_environment_unless_given(run, monkeypatch):
    monkeypatch.setenv("VIRT8RA_URI", "test:///default")
    monkeypatch.setenv("VIRT8RA_CONNECT_TIMEOUT", "3")

    def work(module):
        return {key: module.params[key] for key in ("uri", "connect_timeout")}

    assert run(work, {"site": SITE})[0].items() >= {"uri": "test:///default", "connect_timeout": 3}.items()
    assert run(work, {"site": SITE, "uri": "qemu:///session"})[0]["uri"] == "qemu:///session"


PRIVATE = "-----BEGIN KEY-----\nc2VjcmV0\n-----END KEY-----\n"
CLOUD_INIT = {
    "user_data": {"hostname": "web-1", "password": "hunter2", "runcmd": ["echo ES"]},
    "ssh_host_keys": {"ed25519_private": PRIVATE},
    "instance_id": "es-madrid",
}


@pytest.mark.parametrize("fails", [False, True])
def test_of_a_concealed_option_nothing_is_returned_and_the_rest_is_not_blotted_out(run, fails):
    def work(module):
        module.conceal("cloud_init", secrets(module.params["cloud_init"]))
        if fails:
            raise InputError("is wrong with hunter2", option="name", value="web-1")
        return {"name": "web-1", "country": "ES", "told": f"hunter2 and {PRIVATE}"}

    spec = {**SPEC, **cloud_init_spec()}
    result, _status = run(work, {"site": SITE, "cloud_init": CLOUD_INIT}, spec=spec)
    shown = json.dumps(result)
    assert "hunter2" not in shown and "c2VjcmV0" not in shown and "echo" not in shown
    # Newer versions of ansible-core return the options only when they are asked to.
    if "invocation" in result or ansible_version < "2.20":
        assert result["invocation"]["module_args"]["cloud_init"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
        assert result["invocation"]["module_args"]["site"]["name"] == "es-madrid"
    assert "web-1" in shown and (fails or result["country"] == "ES")


def test_a_misspelt_key_of_cloud_init_shows_no_secret(run):
    spec = {**SPEC, **cloud_init_spec()}
    result, _status = run(lambda module: {}, {"site": SITE, "cloud_init": {**CLOUD_INIT, "userdata": {}}}, spec=spec)
    assert result["failed"] and "userdata" in result["msg"]
    assert "hunter2" not in json.dumps(result) and "c2VjcmV0" not in json.dumps(result)
