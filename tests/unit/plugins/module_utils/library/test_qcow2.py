# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Heads of disk images: those that stand alone, and those that name other files."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils import qcow2
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError
from qcow2_heads import SIZE, qcow2_head

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


@pytest.fixture
def made(tmp_path):
    def make(content, name="disk"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make


@pytest.mark.parametrize("version", [2, 3])
def test_an_image_that_stands_alone_has_its_size(made, version):
    assert qcow2.checked_size(made(qcow2_head(version=version)), "qcow2") == SIZE


def test_a_raw_image_has_the_size_of_its_file(made):
    assert qcow2.checked_size(made(bytes(1536)), "raw") == 1536


@pytest.mark.parametrize(
    ("content", "format", "sentence"),
    [
        (qcow2_head(backing=b"/etc/shadow"), "qcow2", "names the backing file /etc/shadow; flatten it with qemu-img convert"),
        (qcow2_head(version=2, backing=b"a"), "qcow2", "names the backing file a;"),
        (qcow2_head(features=4), "qcow2", "names the external data file a file without a name;"),
        (qcow2_head(features=4, extensions=[(0x44415441, b"/dev/sda")]), "qcow2", "names the external data file /dev/sda;"),
        (qcow2_head(extensions=[(0x44415441, b"/dev/sda")]), "qcow2", "names the external data file /dev/sda;"),
        (qcow2_head(), "raw", "is qcow2 and not raw;"),
        (bytes(512), "qcow2", "is raw and not qcow2;"),
        (b"KDMV".ljust(512, b"\0"), "raw", "is vmdk and not raw;"),
        (b"# Disk DescriptorFile\nRW 1 FLAT '/etc/shadow'", "raw", "is vmdk and not raw;"),
        (b"QED\0".ljust(512, b"\0"), "raw", "is qed and not raw;"),
        (qcow2_head(version=3)[:90], "qcow2", "header that is cut off"),
        (qcow2_head(backing=b"x" * 40)[:150], "qcow2", "header that is cut off"),
        (struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 112, 9999, 16, SIZE).ljust(4096, b"\0"), "qcow2", "header that is cut off"),
        (b"QFI\xfb\0\0\0\x09".ljust(512, b"\0"), "qcow2", "version 9, which nobody knows"),
        (b"QFI\xfb", "qcow2", "is no qcow2 image"),
        (qcow2_head(extensions=[(0x12345678, b"")])[:112] + b"\x12\x34\x56\x78\xff\xff\xff\xff", "qcow2", "header that is cut off"),
    ],
)
def test_what_is_not_to_be_used_is_told(made, content, format, sentence):
    with pytest.raises(BackendError) as caught:
        qcow2.checked_size(made(content), format)
    assert sentence in str(caught.value)
    assert caught.value.remedy


def test_the_chain_below_a_disk_is_found(made, tmp_path):
    made(bytes(512), "base")
    made(qcow2_head(backing=b"json:" + json.dumps({"driver": "qcow2", "file": {"filename": str(tmp_path / "base")}}).encode()), "c")
    made(qcow2_head(backing=b"file:c"), "b")
    top = made(qcow2_head(backing=str(tmp_path / "b").encode()), "a")
    assert [path.name for path in qcow2.backing_chain(top)] == ["b", "c", "base"]


def test_a_chain_that_bites_its_tail_ends(made):
    made(qcow2_head(backing=b"b"), "a")
    assert [path.name for path in qcow2.backing_chain(made(qcow2_head(backing=b"a"), "b"))] == ["a", "b"]


@pytest.mark.parametrize("name", [b"nbd://host/x", b"json:{", b'json:{"driver": "nbd"}'])
def test_what_is_no_file_ends_the_chain(made, name):
    assert qcow2.backing_chain(made(qcow2_head(backing=name))) == []


@needs_qemu_img
def test_what_qemu_img_makes_is_read(tmp_path):
    base, thin, outside = (str(tmp_path / name) for name in ("base", "thin", "outside"))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", base, str(SIZE)], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", thin], check=True)
    data = f"data_file={outside}.raw"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", data, outside, str(SIZE)], check=True)
    assert qcow2.checked_size(tmp_path / "base", "qcow2") == SIZE
    assert [str(path) for path in qcow2.backing_chain(tmp_path / "thin")] == [base]
    for name, told in (("thin", base), ("outside", f"{outside}.raw")):
        with pytest.raises(BackendError, match=told):
            qcow2.checked_size(tmp_path / name, "qcow2")
