# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role compliance_schedule installs to run with, in folders of a test: a virtual environment by pip, and a built collection."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from .lab import ROOT, command, environment

WHEEL = "virt8ra_trial-{version}-py3-none-any.whl"


def wheel(folder: Path, version: str) -> None:
    """The smallest package that pip installs."""
    info = f"virt8ra_trial-{version}.dist-info"
    with zipfile.ZipFile(folder / WHEEL.format(version=version), "w") as archive:
        archive.writestr("virt8ra_trial.py", f"version = '{version}'\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: virt8ra-trial\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def attempt(folder: Path, tasks_from: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A part of the role on this machine."""
    given = {f"compliance_schedule_{name}": value for name, value in options.items()}
    task = {
        "name": "test",
        "ansible.builtin.include_role": {"name": "virt8ra.federation.compliance_schedule", "tasks_from": tasks_from},
    }
    play = [{"name": "test", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
    path = folder / "play.yml"
    path.write_text(yaml.safe_dump(play), encoding="utf-8")
    given["ansible_python_interpreter"] = sys.executable
    argv = [command("ansible-playbook"), "-i", os.devnull, str(path), "-e", json.dumps(given)]
    return subprocess.run(argv, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600, check=False)


def install(folder: Path, **options: Any) -> int:
    """The role's installing part; how many tasks changed something."""
    done = attempt(folder, "program.yml", **options)
    assert done.returncode == 0, done.stdout + done.stderr
    recap = re.search(r"changed=(\d+)", done.stdout)
    assert recap
    return int(recap.group(1))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "program"


def test_the_virtual_environment_has_what_is_pinned(tmp_path: Path, program: Path) -> None:
    wheel(tmp_path, "1.0")
    wheel(tmp_path, "2.0")
    options = {"program_dir": str(program), "python": "/usr/bin/python3", "pip_arguments": f"--no-index --find-links {tmp_path}"}
    ask = [str(program / "venv" / "bin" / "python"), "-c", "import virt8ra_trial; print(virt8ra_trial.version)"]
    assert install(tmp_path, **options, requirements=["virt8ra-trial==1.0"]) > 0
    assert install(tmp_path, **options, requirements=["virt8ra-trial==1.0"]) == 0
    assert subprocess.check_output(ask, text=True) == "1.0\n"
    assert install(tmp_path, **options, requirements=["virt8ra-trial==2.0"]) == 1
    assert subprocess.check_output(ask, text=True) == "2.0\n"


def test_the_collection_is_installed_as_it_was_built(tmp_path: Path, program: Path) -> None:
    build = [command("ansible-galaxy"), "collection", "build", "--output-path", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, env=environment(), capture_output=True, timeout=300)
    options = {"program_dir": str(program), "install": "none", "python": sys.executable}
    options["collection"] = str(next(tmp_path.glob("virt8ra-federation-*.tar.gz")))
    assert install(tmp_path, **options) > 0
    assert install(tmp_path, **options) == 0
    found = program / "collections" / "ansible_collections" / "virt8ra" / "federation"
    assert (found / "plugins" / "inventory" / "sites.py").is_file()
    assert (program / "compliance_run" / "__main__.py").is_file()


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"inventory": []}, "compliance_schedule_inventory is empty"),
        ({"state_dir": "/var/lib/a b"}, "compliance_schedule_state_dir is /var/lib/a b"),
        ({"environment": {"A B": "x"}}, "compliance_schedule_environment has A B"),
        ({"webhook_token": "a\nb"}, "has more than one line"),
        ({"webhook_url": "http://127.0.0.1.example/"}, "compliance_schedule_webhook_url is http://127.0.0.1.example/"),
        ({"metrics_file": "m.txt"}, "compliance_schedule_metrics_file is m"),
        ({"metrics_file": "/nowhere/m.prom"}, "its folder is not there"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_meant_is_told(tmp_path: Path, change: dict[str, Any], wrong: str) -> None:
    done = attempt(tmp_path, "assert.yml", **{"inventory": ["/dev/null"], **change})
    assert done.returncode != 0
    assert wrong in " ".join((done.stdout + done.stderr).split())
