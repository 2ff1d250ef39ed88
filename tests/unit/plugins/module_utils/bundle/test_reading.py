# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bundle that is broken, or made to do harm, is refused with one sentence that names the file and the remedy."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import tarfile

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.manifest import Manifest
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.reading import check_digest, open_bundle
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from made_bundle import make

AGAIN = "copy the bundle again, or export the VM again"


@pytest.fixture
def bundle(tmp_path):
    make(tmp_path / "bundle")
    return tmp_path / "bundle"


def refusal(path):
    with pytest.raises(InputError) as error:
        found = open_bundle(str(path))
        for file in found.manifest.files:
            check_digest(file, found.place(file))
    return str(error.value)


def rewrite(bundle, change):
    path = bundle / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("name", ["vda.qcow2", "vdb.qcow2", "domain.xml", "web-1.ovf", "web-1.mf"])
def test_a_changed_byte(bundle, name):
    path = bundle / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert refusal(bundle) == f"the file {name} is not as it was exported: its SHA-256 differs from the manifest's; {AGAIN}"


def test_a_missing_file(bundle):
    (bundle / "vdb.qcow2").unlink()
    assert refusal(bundle) == f"the file vdb.qcow2 of the bundle is missing; {AGAIN}"


def test_a_file_that_was_cut(bundle):
    size = (bundle / "vda.qcow2").stat().st_size
    with (bundle / "vda.qcow2").open("r+b") as file:
        file.truncate(size - 1)
    assert refusal(bundle) == f"the file vda.qcow2 has {size - 1} bytes, and the manifest says {size}; {AGAIN}"


def test_a_newer_schema(bundle):
    rewrite(bundle, lambda document: document.update(version=2, whatever=[]))
    newest = "version=2: is newer than 1, the newest that is known here"
    assert refusal(bundle) == f"{newest}; use the release of virt8ra.federation that wrote it, or a later one"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/etc/shadow", "is an absolute path, outside of the bundle"),
        ("C:/windows", "is an absolute path, outside of the bundle"),
        ("../vda.qcow2", "leads outside of the bundle"),
        ("tpm2/../../x", "leads outside of the bundle"),
        ("a/b/c", "is not the name of a file in a bundle"),
        (".hidden", "is not the name of a file in a bundle"),
        ("x\ny", "is not the name of a file in a bundle"),
        ("", "is not the name of a file in a bundle"),
        ("manifest.json", "is the bundle's own"),
    ],
)
def test_a_path_outside_of_the_bundle(bundle, path, sentence):
    rewrite(bundle, lambda document: document["files"][0].update(path=path))
    told = refusal(bundle)
    assert told.startswith("files[0].path=") and sentence in told and "; export the VM again" in told


def test_a_file_named_twice(bundle):
    rewrite(bundle, lambda document: document["files"].append(document["files"][-1]))
    assert refusal(bundle) == "files.path='web-1.mf': is there twice; give every entry its own name"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.update(schema="other"), "schema='other': is not the manifest of a bundle; give the folder or tar of a bundle"),
        (lambda d: d.pop("vm"), "vm: is required but not given; add the key vm"),
        (lambda d: d.update(id="x"), "id='x': is not a UUID; export the VM again"),
        (lambda d: d.update(extra=1), "extra: is not a known key"),
        (lambda d: d["files"][0].update(sha256="00"), "files[0].sha256='00': is not a SHA-256"),
        (lambda d: d["files"][0].update(kind="virus"), "files[0].kind='virus': is not one of the choices"),
        (lambda d: d["files"][0].update(virtual_size=512), "vm.disks: the files hold other disks (vda of 512 bytes, vdb"),
        (lambda d: d["consistency"].update(method="hope"), "consistency.method='hope': is not one of the choices"),
        (lambda d: d["vm"].update(cpu_model="host-passthrough"), "vm.cpu_model='host-passthrough': ties the VM to one host"),
        (lambda d: d.update(checkpoints=["one"]), "checkpoints: are not held by bundles of this version"),
    ],
)
def test_a_manifest_that_cannot_be_meant(bundle, change, sentence):
    rewrite(bundle, change)
    assert refusal(bundle).startswith(sentence)


def test_no_manifest(bundle, tmp_path):
    (bundle / "manifest.json").write_text("{")
    assert refusal(bundle).startswith("the manifest manifest.json is not JSON")
    (bundle / "manifest.json").unlink()
    assert refusal(bundle) == f"path='{bundle}': holds no manifest.json, so it is no bundle; give a bundle's folder or tar"
    assert refusal(tmp_path / "nowhere").startswith(f"path='{tmp_path}/nowhere': cannot be read (No such file")


def test_a_link_is_not_followed(bundle, tmp_path):
    (bundle / "vda.qcow2").rename(tmp_path / "elsewhere")
    (bundle / "vda.qcow2").symlink_to(tmp_path / "elsewhere")
    assert refusal(bundle) == f"the file vda.qcow2 is a symbolic link, which may lead outside of the bundle; {AGAIN}"
    (bundle / "vda.qcow2").unlink()
    (bundle / "vda.qcow2").mkdir()
    assert refusal(bundle) == f"the file vda.qcow2 is no plain file; {AGAIN}"


# Images that stand on files outside


def changed_image(bundle, place, content):
    with (bundle / "vda.qcow2").open("r+b") as file:
        file.seek(place)
        file.write(content)


@pytest.mark.parametrize(
    ("place", "content", "sentence"),
    [
        (0, b"RIFF", "is not a qcow2 image, though the manifest says so; export the VM again, or flatten"),
        (4, struct.pack(">I", 9), "is qcow2 of version 9; export"),
        (8, struct.pack(">QI", 4096, 11), "stands on another file outside of the bundle; export"),
        (24, struct.pack(">Q", 512), "holds a disk of 512 bytes, and the manifest says 3145728; export"),
        (32, struct.pack(">I", 2), "is encrypted; export the VM without encryption of its images"),
        (72, struct.pack(">Q", 4), "keeps its data in another file, or was not closed; export"),
    ],
)
def test_an_image_that_is_not_whole_in_itself(bundle, place, content, sentence):
    changed_image(bundle, place, content)
    assert refusal(bundle).startswith(f"the file vda.qcow2 {sentence}")


def test_an_image_that_qemu_made_with_a_backing_file(bundle):
    image = bundle / "vda.qcow2"
    image.unlink()
    argv = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", str(image), "3M"]
    subprocess.run(argv, check=True)
    rewrite(bundle, lambda document: document["files"][0].update(size=image.stat().st_size))
    assert refusal(bundle).startswith("the file vda.qcow2 stands on another file outside of the bundle")


# Archives


def packed(bundle, tmp_path, *members, skip=()):
    """The bundle as a tar, with members on top: (TarInfo, content)."""
    path = tmp_path / "bundle.tar"
    with tarfile.open(path, "w") as archive:
        for file in sorted(bundle.iterdir()):
            if file.name not in skip:
                archive.add(file, file.name)
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return path


def member(name, kind=tarfile.REGTYPE, link="", content=b""):
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, len(content)
    return made, content


def test_a_tar_that_others_packed_is_read(bundle, tmp_path):
    assert open_bundle(str(packed(bundle, tmp_path))).manifest.vm.name == "web-1"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (member("vda.qcow2", content=b"x"), f"the file vda.qcow2 is in the archive twice; {AGAIN}"),
        (member("x", tarfile.SYMTYPE, "/etc/shadow"), "the file x is a link in the archive, which may lead outside of the bundle;"),
        (member("x", tarfile.LNKTYPE, "vda.qcow2"), "the file x is a link in the archive, which may lead outside of the bundle;"),
        (member("x", tarfile.CHRTYPE), f"the file x is no plain file in the archive; {AGAIN}"),
        (member("x", tarfile.FIFOTYPE), f"the file x is no plain file in the archive; {AGAIN}"),
        (member("../x"), "member of the archive='../x': leads outside of the bundle; export the VM again"),
        (member("/etc/x"), "member of the archive='/etc/x': is an absolute path, outside of the bundle; export the VM again"),
        (member("../d", tarfile.DIRTYPE), "member of the archive='../d': leads outside of the bundle; export the VM again"),
    ],
    ids=lambda value: value[0].name if isinstance(value, tuple) else "",
)
def test_an_archive_of_ill_will(bundle, tmp_path, more, sentence):
    assert refusal(packed(bundle, tmp_path, more)).startswith(sentence)


def test_an_archive_that_was_cut(bundle, tmp_path):
    path = packed(bundle, tmp_path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert "archive" in refusal(path)


def test_a_packed_archive(bundle, tmp_path):
    path = packed(bundle, tmp_path)
    subprocess.run(["gzip", str(path)], check=True)
    assert refusal(f"{path}.gz").startswith(f"path='{path}.gz': is no plain tar archive")


def test_a_changed_byte_in_an_archive(tmp_path):
    manifest = make(tmp_path / "bundle.tar", form="tar")
    place = open_bundle(str(tmp_path / "bundle.tar")).place(manifest.disk("vdb"))
    with (tmp_path / "bundle.tar").open("r+b") as file:
        file.seek(place.offset + place.size - 1)
        file.write(b"\xff")
    assert refusal(tmp_path / "bundle.tar").startswith("the file vdb.qcow2 is not as it was exported")


def test_what_is_written_is_what_is_read():
    with pytest.raises(InputError, match="the document"):
        Manifest.from_dict([])
