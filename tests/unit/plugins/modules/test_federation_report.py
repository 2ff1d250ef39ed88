# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module federation_report, from its options to its page."""

from __future__ import annotations

import io
import json

import pytest
from ansible.module_utils import basic
from ansible_collections.virt8ra.federation.plugins.modules import federation_report

SITE = {"name": "es", "provider": "Arsys", "country": "ES", "city": "Logroño", "latitude": 42.46, "longitude": -2.44}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs the module with these options over the usual ones; its result."""

    def run(diff=False, check=False, **params):
        usual = {"path": str(tmp_path / "a" / "index.html"), "federation": "virt8ra", "sites": [SITE]}
        arguments = {"ANSIBLE_MODULE_ARGS": {**usual, **params, "_ansible_diff": diff, "_ansible_check_mode": check}}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(arguments).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        monkeypatch.setattr("sys.stdin", io.StringIO())
        with pytest.raises(SystemExit):
            federation_report.main()
        return json.loads(capsys.readouterr().out)

    return run


def test_a_page_is_written_once(run, tmp_path):
    path = tmp_path / "a" / "index.html"
    told = run(check=True, diff=True)
    assert told["changed"] and not path.exists() and told["diff"]["before"] == "" and '"sha256"' in told["diff"]["after"]
    assert run()["changed"] and "Logroño, ES" in path.read_text(encoding="utf-8")
    assert not run()["changed"] and not run(check=True)["changed"]
    told = run(vms=[{"name": "web-1", "site": "es", "state": "running"}], diff=True)
    assert told["changed"] and told["path"] == str(path) and told["diff"]["before"] != told["diff"]["after"]
    assert "web-1" in path.read_text(encoding="utf-8")


def test_what_cannot_be_written_is_told_in_one_sentence(run, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    told = run(path=str(tmp_path / "file" / "index.html"))
    assert told["failed"] and told["msg"].startswith("path=") and "cannot be" in told["msg"]
