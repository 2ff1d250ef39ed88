# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the removal of k3s deletes, and what it never does."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "roles" / "k3s_cluster" / "files" / "clean_node.py"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


@pytest.fixture
def program(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("clean_node", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # Nothing outside of the test's own folder.
    for name in ("UNITS", "STATE", "SETTINGS", "LOGS", "INTERFACES"):
        monkeypatch.setattr(module, name, ())
    monkeypatch.setattr(module, "ETC", tmp_path / "etc")
    monkeypatch.setattr(module.Cleaning, "_networks", lambda _self: None)
    return module


@pytest.fixture
def host(tmp_path):
    (tmp_path / "data/server/db").mkdir(parents=True)
    (tmp_path / "data/server/token").write_text("secret")
    (tmp_path / "etc/k3s").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/k3s").write_text("")
    (tmp_path / "bin/k3s.v1.35.0+k3s1").write_text("")
    (tmp_path / "bin/kubectl").symlink_to("k3s")
    (tmp_path / "bin/crictl").symlink_to("/opt/other/crictl")
    return tmp_path


def clean(program, host, check=False):
    cleaning = program.Cleaning(host / "data", host / "bin", check)
    cleaning.run()
    return cleaning


def test_everything_of_k3s_goes_and_nothing_else(program, host):
    outside = host / "kept"
    outside.write_text("mine")
    (host / "data/link").symlink_to(outside)
    (host / "data/folder").symlink_to(host / "bin")
    cleaning = clean(program, host)
    assert cleaning.left() == []
    assert sorted(path.name for path in host.iterdir()) == ["bin", "kept"]
    assert [path.name for path in (host / "bin").iterdir()] == ["crictl"]
    assert clean(program, host).removed == []


def test_check_mode_tells_the_same_and_removes_nothing(program, host):
    before = sorted(host.rglob("*"))
    told = clean(program, host, check=True).removed
    assert sorted(host.rglob("*")) == before
    assert told == clean(program, host).removed


def test_processes_that_run_from_the_data_directory_end_with_those_below_them(program, host):
    shell = host / "data/sh"
    shutil.copy("/bin/sh", shell)
    child = subprocess.Popen([str(shell), "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
    try:
        below = int(child.stdout.readline())
        assert f"process {below}" in clean(program, host).removed
        assert child.wait(timeout=30) < 0
        status = Path(f"/proc/{below}/stat")
        assert not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z"
    finally:
        child.kill()


@root_only
def test_a_volume_that_cannot_be_unmounted_is_not_deleted_through(program, host, monkeypatch):
    volume = host / "data/volume"
    volume.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(volume)], check=True)
    try:
        (volume / "payroll").write_text("kept")
        with monkeypatch.context() as patched:
            patched.setattr(program, "_call", lambda *_argv, **_given: print("umount: busy", file=sys.stderr))
            left = clean(program, host).left()
        assert f"mount {volume}" in left and (volume / "payroll").read_text() == "kept"
        assert not (host / "data/server").exists()
    finally:
        subprocess.run(["umount", str(volume)], check=True)
    assert clean(program, host).left() == []
