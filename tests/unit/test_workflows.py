# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The workflows of a public CI name what is there, and take nothing from the network unchecked."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
FETCH = ROOT / ".github" / "fetch_k3s.sh"


def steps(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_what_it_needs(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "on", "permissions", "jobs"} <= set(workflow)
    assert all({"runs-on", "timeout-minutes", "steps"} <= set(job) for job in workflow["jobs"].values())
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) for step in steps(path) if "uses" in step)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_exists(path):
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", MAKEFILE, re.MULTILINE))
    ran = "\n".join(step.get("run", "") for step in steps(path))
    named = re.findall(r"\bmake ([a-z0-9-]+)((?: [A-Z0-9_]+=\S+)*)", ran)
    assert named
    for target, variables in named:
        assert target in targets
        for variable in re.findall(r"([A-Z0-9_]+)=", variables):
            assert f"$({variable})" in MAKEFILE, variable
    for script in re.findall(r"\.github/\S+\.sh", ran):
        assert os.access(ROOT / script, os.X_OK), script
    assert not re.search(r"(curl|wget)[^|]*\| *(sudo )?(ba)?sh", ran)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_paths_that_start_a_workflow_are_there(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    for pattern in workflow["on"]["pull_request"]["paths"]:
        assert any(ROOT.glob(pattern.removesuffix("/**"))), pattern


@pytest.mark.parametrize("path", sorted((ROOT / ".github").glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_bash(path):
    subprocess.run(["bash", "-n", str(path)], check=True)


@pytest.fixture
def release(tmp_path):
    """A release as the network would give it: curl is one that copies from a folder."""
    place = tmp_path / "release"
    place.mkdir()
    (place / "k3s").write_bytes(b"a binary")
    other = hashlib.sha256(b"other").hexdigest()
    sums = [f"{hashlib.sha256(b'a binary').hexdigest()}  k3s", f"{other}  k3s-airgap-images-amd64.tar"]
    (place / "sha256sum-amd64.txt").write_text("\n".join(sums) + "\n", encoding="utf-8")
    tools = tmp_path / "bin"
    tools.mkdir()
    curl = '#!/bin/bash\nwhile [ "$1" != --output ]; do shift; done\n'
    (tools / "curl").write_text(f'{curl}echo "$3" >> {tmp_path}/asked; cp "{place}/${{3##*/}}" "$2"\n', encoding="utf-8")
    (tools / "curl").chmod(0o755)
    (tools / "uname").write_text("#!/bin/bash\necho x86_64\n", encoding="utf-8")
    (tools / "uname").chmod(0o755)
    return place


def fetch(release):
    environment = {**os.environ, "PATH": f"{release.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    target = release.parent / "k3s"
    command = [str(shutil.which("bash")), str(FETCH), "v1.36.0+k3s1", str(target)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False), target


def test_a_binary_with_the_right_checksum_is_taken(release):
    done, target = fetch(release)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == b"a binary"
    assert os.access(target, os.X_OK)
    asked = (release.parent / "asked").read_text(encoding="utf-8").split()
    assert all(url.startswith("https://github.com/k3s-io/k3s/releases/download/v1.36.0%2Bk3s1/") for url in asked)


@pytest.mark.parametrize("harm", ["binary", "no sum"])
def test_another_binary_is_not(release, harm):
    if harm == "binary":
        (release / "k3s").write_bytes(b"another binary")
    else:
        (release / "sha256sum-amd64.txt").write_text("", encoding="utf-8")
    done, target = fetch(release)
    assert done.returncode != 0
    assert not target.exists()
