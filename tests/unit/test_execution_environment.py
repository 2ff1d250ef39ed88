# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The execution environment: accepted by ansible-builder, and with all that the collection needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import ansible_builder
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BUILDER = Path(sys.executable).parent / "ansible-builder"
WANTED = yaml.safe_load((ROOT / "execution-environment.yml").read_text(encoding="utf-8"))
OWN = yaml.safe_load((ROOT / "meta" / "execution-environment.yml").read_text(encoding="utf-8"))


def lines(path):
    """Without comments and blank lines."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]


def create(definition, folder):
    argv = [
        str(BUILDER),
        "create",
        "--file",
        str(definition),
        "--context",
        str(folder),
        "--output-filename",
        "Containerfile",
        "-v",
        "3",
    ]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_the_builder_makes_a_context_of_it(tmp_path):
    done = create(ROOT / "execution-environment.yml", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    recipe = (tmp_path / "Containerfile").read_text(encoding="utf-8")
    assert "quay.io/centos/centos:stream9" in recipe
    asked = yaml.safe_load((tmp_path / "_build" / "requirements.yml").read_text(encoding="utf-8"))
    assert asked["collections"] == WANTED["dependencies"]["galaxy"]["collections"]


def test_the_builder_refuses_what_is_wrong(tmp_path):
    """Its schema is what the test above leans on."""
    wrong = tmp_path / "execution-environment.yml"
    wrong.write_text(yaml.safe_dump({**WANTED, "surprise": 1}), encoding="utf-8")
    assert create(wrong, tmp_path / "context").returncode != 0


def test_it_has_the_collections_that_ours_depends_on():
    asked = {one["name"]: one["version"] for one in WANTED["dependencies"]["galaxy"]["collections"]}
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert asked.pop(f"{galaxy['repository']}.git") == "main"
    assert asked == galaxy["dependencies"]


def test_its_ansible_is_the_one_that_the_collection_wants():
    least = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["requires_ansible"]
    assert WANTED["dependencies"]["ansible_core"]["package_pip"].startswith(f"ansible-core{least.removesuffix('.0')}")
    assert WANTED["dependencies"]["ansible_runner"]["package_pip"] in lines(ROOT / "requirements.txt")


def test_the_collections_own_python_is_the_controllers_without_ansible_itself():
    controllers = [line for line in lines(ROOT / "requirements.txt") if not line.startswith("ansible")]
    assert lines(ROOT / OWN["dependencies"]["python"]) == controllers


@pytest.mark.parametrize("listed", [lines(ROOT / OWN["dependencies"]["system"]), WANTED["dependencies"]["system"]])
def test_packages_of_the_system_are_written_as_bindep_reads_them(listed):
    assert all(re.fullmatch(r"[a-z0-9.+-]+ \[(?:(?:compile|platform:(?:rpm|dpkg))\s?)+\]", line) for line in listed)


def test_the_builder_finds_what_the_collection_itself_needs(tmp_path):
    """By the program that it runs in the image, on a folder of installed collections."""
    place = tmp_path / "ansible_collections" / "virt8ra"
    place.mkdir(parents=True)
    (place / "federation").symlink_to(ROOT)
    program = Path(ansible_builder.__file__).parent / "_target_scripts" / "introspect.py"
    done = subprocess.run(
        [sys.executable, str(program), "introspect", str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "libvirt-python>=9.0  # from collection virt8ra.federation" in done.stdout
    assert re.search(r"libvirt-devel \[compile platform:rpm\]  # from collection virt8ra\.federation", done.stdout)
    assert "mmdebstrap" not in done.stdout, "what a lab needs is not for the image"
