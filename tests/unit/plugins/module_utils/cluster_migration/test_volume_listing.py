# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.comparing import parse_digests
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.listing import LIST, parse

NAMES = (b"plain", b"new\nline", b"end\n", b"-rf", b" ", b"a -> b", b"it's", b"\xff\xfe", b"back\\slash")


def listed(folder: Path, *shell: str) -> bytes:
    return subprocess.run([*shell, "-c", LIST.replace("/data", str(folder))], capture_output=True, check=True).stdout


@pytest.mark.parametrize("shell", [("sh",), ("busybox", "sh")])
def test_a_listing_of_any_names(tmp_path: Path, shell: tuple[str, ...]) -> None:
    if not shutil.which(shell[0]):
        pytest.skip(f"no {shell[0]} here")
    root = os.fsencode(tmp_path)
    for name in NAMES:
        Path(os.fsdecode(root + b"/" + name)).write_bytes(name)
    (tmp_path / "link -> 'x").symlink_to("to\n'nowhere")
    os.link(tmp_path / "plain", tmp_path / "twin")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "lost+found").mkdir()
    os.utime(tmp_path / "plain", ns=(0, 1_000_000_007_500_000_000))

    found = parse(listed(tmp_path, *shell))

    assert found is not None
    assert set(found) == {b".", *(b"./" + name for name in NAMES), b"./link -> 'x", b"./twin", b"./pipe"}
    assert found[b"./link -> 'x"].target == b"to\n'nowhere"
    assert found[b"./plain"].group == found[b"./twin"].group != 0
    assert (found[b"./plain"].modified, found[b"./plain"].nanoseconds) == (1_000_000_007, 500_000_000)
    assert all(found[b"./" + name].size == len(name) for name in NAMES)
    assert found[b"."].is_folder


FACTS = b"81a4|0|0|3|100|1970-01-01 00:01:40.5 +0000|120|7|1|8|512|0|0|"


def test_what_vanished_is_left_out() -> None:
    folder = FACTS.replace(b"81a4", b"41ed") + b".\n"
    output = b".\0./gone\0./here\0\0" + folder + FACTS + b"./here\nlisted\n"
    found = parse(output)
    assert found is not None and list(found) == [b".", b"./here"]


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b".\0\0" + FACTS.replace(b"81a4", b"41ed") + b".\n",
        b"./here\0\0" + FACTS + b"./here\nlisted\n",
        b".\0\0" + FACTS.replace(b"81a4", b"41ed") + b".\n" + FACTS + b"./unknown\nlisted\n",
    ],
)
def test_a_listing_that_is_not_whole_is_none(output: bytes) -> None:
    assert parse(output) is None


def test_digests_by_order() -> None:
    one, two = b"1" * 64, b"2" * 64
    names = [b"./gone", b"./a\nb", b"./c"]
    assert parse_digests(names, one + b"  ./a\nb\n" + two + b"  ./c\n") == {b"./a\nb": one, b"./c": two}
    assert parse_digests(names, b"\\" + one + b"  ./a\\nb\n" + two + b"  ./c\n") == {b"./a\nb": one, b"./c": two}
