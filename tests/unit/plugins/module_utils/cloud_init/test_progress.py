# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far cloud-init is, by what it writes into the guest's files."""

from __future__ import annotations

import json

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cloud_init.progress import Progress, read_progress


def content(**version_1):
    return json.dumps({"v1": version_1}).encode()


def stage(start=None, finished=None, errors=()):
    return {"start": start, "finished": finished, "errors": list(errors)}


@pytest.mark.parametrize("half", [None, b"", b'{"v1": {"sta', b"[]", b'{"v1": []}', b"\xff"])
def test_files_that_are_not_there_or_not_whole_tell_nothing(half):
    assert read_progress(half, half) == Progress()


def test_a_stage_that_is_under_way_is_told():
    status = content(stage="modules-config", datasource="NoCloud", init=stage(1.0, 2.0, ["no  disk\n found"]))
    assert read_progress(None, status) == Progress(False, "modules-config", "NoCloud", ("no disk found",))


def test_between_stages_the_last_that_began_is_told():
    status = content(stage=None, **{"init-local": stage(1.0, 2.0), "init": stage(2.0, 3.0), "modules-final": stage()})
    assert read_progress(None, status).stage == "init"


def test_the_result_ends_it_with_its_errors():
    told = read_progress(content(datasource="NoCloud", errors=["first", "second"]), content(stage="modules-final"))
    assert told == Progress(True, "", "NoCloud", ("first", "second"))
