# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file of the controller goes to the hypervisor only when nobody else has the image."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from ansible_collections.virt8ra.federation.plugins.action.image import ActionModule


@pytest.fixture
def action(monkeypatch):
    """The plugin over a module that answers ``answers`` in turn; the arguments that it was given are in ``given``."""
    task = MagicMock(args={"name": "debian", "version": "12"}, check_mode=False, async_val=0)
    made = ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    made.answers, made.given, made.sent = [], [], []

    def module(**options):
        made.given.append(options["module_args"])
        return made.answers.pop(0)

    monkeypatch.setattr(made, "carried_out", lambda args, task_vars: module(module_args=args))
    monkeypatch.setattr(made, "_execute_module", module)
    monkeypatch.setattr(made, "_make_tmp_path", lambda: "/remote")
    monkeypatch.setattr(made, "_transfer_file", lambda here, there: made.sent.append(here))
    monkeypatch.setattr(made, "_fixup_perms2", lambda paths: None)
    monkeypatch.setattr(made, "_remove_tmp_path", lambda path: made.sent.append(f"removed {path}"))
    made._connection._shell.join_path = lambda *parts: "/".join(parts)
    return made


def test_an_image_that_is_there_or_elsewhere_is_not_sent(action):
    action.answers = [{"changed": True, "fetched_from": "es-1"}]
    assert action.run()["fetched_from"] == "es-1"
    assert action.sent == []


def test_a_file_is_sent_and_taken_away_again(action, tmp_path):
    (tmp_path / "x").write_bytes(b"image")
    action.answers = [{"changed": True, "push": str(tmp_path / "x")}, {"changed": True, "fetched_from": "x"}]
    assert action.run() == {"changed": True, "fetched_from": "x"}
    assert action.given[1] == {"name": "debian", "version": "12", "pushed_path": "/remote/image"}
    assert action.sent == [str(tmp_path / "x"), "removed /remote"]


def test_a_file_that_is_not_there_is_a_sentence(action, tmp_path):
    action.answers = [{"changed": True, "push": str(tmp_path / "none")}]
    result = action.run()
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"].startswith(f"source.file='{tmp_path}/none': is no file on the controller;")
    assert action.sent == []


def test_the_line_names_image_source_and_hypervisor(action):
    line = action.line(
        {"name": "debian", "version": "12", "hypervisor": "de-1"},
        {"phase": "fetching", "source": "es-1", "bytes": 5, "total_bytes": 10},
    )
    assert line.startswith("debian:12  es-1 → de-1  fetching  ")
