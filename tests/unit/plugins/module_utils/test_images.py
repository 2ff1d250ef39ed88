# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images as the federation file lists them, and the records of a hypervisor."""

from __future__ import annotations

import dataclasses
import os

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils import images
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.federation import Federation
from ansible_collections.virt8ra.federation.plugins.module_utils.image_records import Record, Records
from ansible_collections.virt8ra.federation.plugins.module_utils.images import Image
from ansible_collections.virt8ra.federation.plugins.module_utils.inventory import arrange
from ansible_collections.virt8ra.federation.plugins.module_utils.selection import Selection

DIGEST = "0123456789abcdef" * 4
IMAGE = {"name": "debian", "version": "12.8", "sha256": DIGEST, "source": {"url": "https://images.example/debian.qcow2"}}
FEDERATION = {
    "plugin": "virt8ra.federation.sites",
    "federation": "f",
    "sites": [{"name": "rioja", "provider": "Arsys", "country": "ES", "hypervisors": [{"name": "kvm1"}]}],
}


def image(**changes):
    return Image.from_dict({**IMAGE, **changes})


def test_an_image_goes_there_and_back():
    read = image(size="3MiB", format="raw", firmware="uefi", os_variant="debian12", sha256=DIGEST.upper())
    assert (read.size, read.sha256, read.volume, read.reference) == (3 * 2**20, DIGEST, "debian-12.8.raw", "debian:12.8")
    for one in (read, image(), image(source={"site": "rioja"})):
        assert Image.from_dict(one.to_dict()) == one


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "debian/12"}, "images[0].name='debian/12': is not a usable name;"),
        ({"version": 12.8}, "images[0].version=12.8: is not a string; put it in quotes"),
        ({"version": "12:8"}, "images[0].version='12:8': is not a usable name;"),
        ({"sha256": DIGEST[1:]}, "is not a SHA-256 digest; write the 64 hexadecimal digits that sha256sum tells"),
        ({"sha256": f"{DIGEST[1:]}g"}, "is not a SHA-256 digest;"),
        ({"sha256": None}, "images[0].sha256: is required but not given;"),
        ({"format": "vmdk"}, "images[0].format='vmdk': is not one of the choices; use one of qcow2, raw"),
        ({"firmware": "efi"}, "images[0].firmware='efi': is not one of the choices;"),
        ({"size": -1}, "images[0].size=-1: is not a size;"),
        ({"checksum": "x"}, "images[0].checksum: is not a known key;"),
        ({"source": {}}, "images[0].source: gives no place; give one of url, file and site"),
        ({"source": None}, "images[0].source: is required but not given;"),
        ({"source": {"url": "http://h/x", "file": "x"}}, "images[0].source: gives url and file; give one of url, file and site"),
        ({"source": {"url": "ftp://h/x"}}, "images[0].source.url='ftp://h/x': is not a URL of an image;"),
        ({"source": {"url": "https:///x"}}, "images[0].source.url='https:///x': names no host; write https://HOST/PATH"),
        ({"source": {"url": "https://h:port/x"}}, "is not a URL of an image;"),
        ({"source": {"url": "file://other/x"}}, "names no file of the hypervisor; write file:///PATH"),
        ({"source": {"site": "baden"}}, "images[0].source.site='baden': is not a site of the federation; use one of rioja"),
    ],
)
def test_a_wrong_image_is_told_in_a_sentence(change, sentence):
    with pytest.raises(InputError) as caught:
        Federation.from_dict({**FEDERATION, "images": [{**IMAGE, **change}]})
    assert sentence in str(caught.value)


def test_a_password_in_a_url_is_refused_and_not_shown():
    with pytest.raises(InputError, match="holds a user name or password") as caught:
        image(source={"url": "https://me:s3cret@h/x"})
    assert "s3cret" not in str(caught.value) + str(caught.value.to_dict())


@pytest.mark.parametrize(
    ("other", "value"),
    [({}, "debian:12.8"), ({"format": "raw"}, "debian:12.8"), ({"name": "debian-12.8", "version": "1"}, None)],
)
def test_two_of_one_name_and_version_are_refused(other, value):
    document = {**FEDERATION, "images": [IMAGE, {**IMAGE, **other}]}
    if value is None:
        assert len(Federation.from_dict(document).images) == 2
        return
    with pytest.raises(InputError) as caught:
        Federation.from_dict(document)
    assert (caught.value.option, caught.value.value) == ("images[].name", value)


def test_two_of_one_volume_are_refused():
    twins = [{**IMAGE, "name": "a-1", "version": "2"}, {**IMAGE, "name": "a", "version": "1-2"}]
    with pytest.raises(InputError, match=r"a-1-2\.'?: is there twice"):
        Federation.from_dict({**FEDERATION, "images": twins})


def test_the_newest_version_comes_first():
    versions = ["12.9", "12.10", "9", "12.9-2", "20260101"]
    ordered = images.newest_first(image(version=version) for version in versions)
    assert [one.version for one in ordered] == ["20260101", "12.10", "12.9-2", "12.9", "9"]


def test_hypervisors_are_given_the_images_newest_first():
    federation = Federation.from_dict({**FEDERATION, "images": [IMAGE, {**IMAGE, "version": "12.10"}]})
    given = arrange(federation, {}, Selection()).hosts["kvm1"].variables["federation_images"]
    assert [one["version"] for one in given] == ["12.10", "12.8"]


def test_files_of_the_controller_are_found_beside_the_federation_file():
    read = images.with_folder([image(source={"file": "../i/x.qcow2"}), image(), image(source={"file": "/a/x"})], "/srv/f")
    assert [one.source.file for one in read] == ["/srv/i/x.qcow2", "", "/a/x"]


@pytest.fixture
def recorded(tmp_path):
    path = tmp_path / "debian-12.8.qcow2"
    path.write_bytes(b"image")
    records = Records(str(tmp_path / "state"), "images")
    records.write(Record.of(image(), path, 512, "2026-11-25T00:00:00+00:00", "here"))
    return records, path


def test_a_record_is_kept_from_others_and_found_again(recorded):
    records, path = recorded
    (found,) = records.all()
    assert found == records.find("debian-12.8.qcow2")
    assert (found.sha256, found.size, found.virtual_size, found.is_of(path)) == (DIGEST, 5, 512, True)
    assert records.folder.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in records.folder.iterdir()] == ["debian-12.8.qcow2.json"]


@pytest.mark.parametrize("harm", ["written", "replaced", "gone"])
def test_a_file_that_changed_is_not_the_records(recorded, harm):
    records, path = recorded
    (found,) = records.all()
    if harm == "written":
        os.utime(path, ns=(0, found.mtime_ns + 1))
    else:
        path.rename(path.with_suffix(".old"))
        if harm == "replaced":
            path.write_bytes(b"image")
            os.utime(path, ns=(0, found.mtime_ns))
    assert not found.is_of(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "debian"}'])
def test_a_record_that_cannot_be_read_is_none(recorded, text):
    records, _path = recorded
    (records.folder / "debian-12.8.qcow2.json").write_text(text)
    assert records.all() == [] and records.find("debian-12.8.qcow2") is None


def test_records_are_listed_newest_first(recorded):
    records, _path = recorded
    (found,) = records.all()
    for version in ("12.10", "9"):
        records.write(dataclasses.replace(found, version=version))
    assert [record.version for record in records.all()] == ["12.10", "12.8", "9"]
    records.forget("debian-9.qcow2")
    records.forget("debian-9.qcow2")
    assert [record.version for record in records.all()] == ["12.10", "12.8"]
