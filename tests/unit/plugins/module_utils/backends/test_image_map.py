# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images read in place and kept still, with QEMU's own tools on the other side."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.image_lock import kept_still
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.image_map import open_image
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError

SIZE = 2**20


def made(path, format, *options):
    subprocess.run(["qemu-img", "create", "-q", "-f", format, *options, str(path), str(SIZE)], check=True)
    return path


def written(path, format, *commands):
    argv = ["qemu-io", "-f", format, *(part for command in commands for part in ("-c", command)), str(path)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("format", ["qcow2", "raw"])
def test_nobody_writes_an_image_that_is_kept_still(tmp_path, format):
    image = made(tmp_path / "image", format)
    with kept_still([str(image)]):
        assert 'Failed to get "write" lock' in written(image, format, "write 0 512").stderr
    assert written(image, format, "write 0 512").returncode == 0


@pytest.mark.parametrize("format", ["qcow2", "raw"])
def test_an_image_that_is_written_is_not_kept_still(tmp_path, format):
    image = made(tmp_path / "image", format)
    argv = ["qemu-io", "-f", format, str(image)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        writer.stdin.write("write 0 512\n")
        writer.stdin.flush()
        while "wrote 512" not in writer.stdout.readline():
            pass
        with (
            pytest.raises(BackendError, match=f"the volume {image} is being written by another process; wait for it"),
            kept_still([str(image)]),
        ):
            pass
        writer.communicate("quit\n")
    with kept_still([str(image)]):
        pass


@pytest.mark.parametrize("format", ["qcow2", "raw"])
def test_an_image_is_read_in_place(tmp_path, format):
    image = made(tmp_path / "image", format)
    assert written(image, format, "write -P 7 65536 512", "write -P 8 1048064 512").returncode == 0
    reader = open_image(str(image), format, SIZE)
    try:
        content = bytearray(SIZE)
        for offset, length in reader.data():
            for part in reader.parts(offset, memoryview(bytearray(length))):
                content[offset : offset + length] = part
    finally:
        reader.close()
    assert content.count(7) == 512 and content.count(8) == 512 and content[65536] == 7 and content[-1] == 8
    assert content.count(0) == SIZE - 1024


def test_what_has_no_place_of_its_own_is_left_to_a_server(tmp_path):
    base = made(tmp_path / "base", "qcow2")
    written(base, "qcow2", "write -P 7 0 65536")
    above = made(tmp_path / "above", "qcow2", "-b", str(base), "-F", "qcow2")
    assert open_image(str(above), "qcow2", SIZE) is None
    subprocess.run(["qemu-img", "convert", "-c", "-O", "qcow2", str(base), str(tmp_path / "packed")], check=True)
    assert open_image(str(tmp_path / "packed"), "qcow2", SIZE) is None
