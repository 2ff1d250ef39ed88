# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an export writes: images that QEMU finds right, digests that others find right, and nothing before all of it is there."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle import contents, imaging, qcow2, writing
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.manifest import File, Manifest
from ansible_collections.virt8ra.federation.plugins.module_utils.bundle.reading import check_digest, open_bundle
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Disk, Nic, Vm
from ansible_collections.virt8ra.federation.plugins.module_utils.rules import Device, GroupRule, PlacementRules, RoundTrip
from hypothesis import given, settings
from hypothesis import strategies as st
from made_bundle import DISKS, VM, Content, facts, make

ROOT = Path(__file__).resolve().parents[5]
SCHEMAS = {name: json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text()) for name in ("vm", "manifest")}


def run(*argv, cwd=None):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def content_of(image, format, folder):
    run("qemu-img", "convert", "-f", format, "-O", "raw", str(image), str(folder / "flat"))
    return (folder / "flat").read_bytes()


@pytest.mark.parametrize("format", ["qcow2", "raw"])
def test_images_hold_what_the_disks_hold(tmp_path, format):
    make(tmp_path / "web-1", format=format)
    for name, disk in DISKS.items():
        image = tmp_path / "web-1" / f"{name}.{format}"
        assert content_of(image, format, tmp_path) == bytes(disk.bytes)
        run("qemu-img", "check", "-f", "qcow2", str(image)) if format == "qcow2" else None
        assert image.stat().st_blocks * 512 < disk.size, "holes take no space"


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_sha256sum_finds_every_file_right(tmp_path, form):
    manifest = make(tmp_path / "bundle", form=form)
    folder = tmp_path / "bundle"
    if form == "tar":
        folder = tmp_path / "out"
        folder.mkdir()
        run("tar", "-xf", str(tmp_path / "bundle"), "-C", str(folder))
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=folder)
    assert {path.name for path in folder.iterdir()} == {*(file.path for file in manifest.files), "manifest.json", "SHA256SUMS"}
    mentioned = dict(line.split("= ") for line in (folder / "web-1.mf").read_text().splitlines())
    assert mentioned == {f"SHA256({file.path})": file.sha256 for file in manifest.files if file.kind in ("disk", "ovf")}


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_what_was_written_is_read_again(tmp_path, form):
    manifest = make(tmp_path / "bundle", form=form)
    bundle = open_bundle(str(tmp_path / "bundle"))
    assert bundle.manifest == manifest
    for file in manifest.files:
        check_digest(file, bundle.place(file))


def test_everything_is_for_root_alone(tmp_path):
    make(tmp_path / "bundle")
    make(tmp_path / "bundle.tar", form="tar")
    for path in (tmp_path / "bundle").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "bundle").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "bundle.tar").stat().st_mode) == 0o600
    with tarfile.open(tmp_path / "bundle.tar") as archive:
        assert {member.mode for member in archive} == {0o600}


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_nothing_is_published_by_an_export_that_dies(tmp_path, form):
    out = writing.writer(str(tmp_path / "bundle"), form)
    out.begin()
    out.aside("vda").write_bytes(b"half")
    with pytest.raises(ZeroDivisionError), out.file("vda.qcow2", 100) as sink:
        sink.write(0, bytes(1 // 0))
    assert not (tmp_path / "bundle").exists()
    again = writing.writer(str(tmp_path / "bundle"), form)
    again.clear()
    assert not list(tmp_path.iterdir())
    make(tmp_path / "bundle", form=form)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_a_bundle_is_replaced(tmp_path, form):
    first = make(tmp_path / "bundle", form="folder")
    second = make(tmp_path / "bundle", form=form, format="raw")
    assert open_bundle(str(tmp_path / "bundle")).manifest == second != first
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_full_disk_is_told_and_names_the_file():
    sink = writing.Sink(os.open("/dev/full", os.O_WRONLY), 0, "vda.qcow2")
    with pytest.raises(InputError, match=r"the file vda.qcow2 cannot be written \(No space left on device\); free some space"):
        sink.write(0, b"x")
    os.close(sink.handle)


def test_too_little_space_is_refused_before(tmp_path):
    with pytest.raises(InputError, match=rf"path='{tmp_path}': has \d+ bytes free, and the bundle may take {2**60}; free some"):
        writing.check_space(tmp_path, 2**60)


ranges = st.lists(st.tuples(st.integers(0, 5 * 2**20), st.integers(1, 300000)), max_size=6)


@settings(max_examples=30, deadline=None)
@given(sectors=st.integers(1, 12000), ranges=ranges, format=st.sampled_from(["qcow2", "raw"]))
def test_any_disk_becomes_a_right_image(tmp_path_factory, sectors, ranges, format):
    size = sectors * 512
    disk = Content(size, [(offset, min(length, size - offset)) for offset, length in ranges if offset < size])
    folder = tmp_path_factory.mktemp("image")
    image = imaging.Image(disk, format)
    out = writing.writer(str(folder / "bundle"), "folder")
    out.begin()
    with out.file("disk", image.file_size) as sink:
        digest = imaging.Imaging(image, sink, lambda _amount: None).run()
    out.publish()
    made = folder / "bundle" / "disk"
    assert run("sha256sum", str(made)).split()[0] == digest
    assert content_of(made, format, folder) == bytes(disk.bytes)


def test_a_reader_that_fails_ends_the_image():
    class Broken(Content):
        def parts(self, offset, view):
            raise OSError("gone")

    image = imaging.Image(Broken(2**20, [(0, 2**20)]), "raw")
    sink = writing.Sink(os.open("/dev/null", os.O_WRONLY), 0, "x")
    with pytest.raises(OSError, match="gone"):
        imaging.Imaging(image, sink, lambda _amount: None).run()
    os.close(sink.handle)


def test_the_layout_of_a_large_disk_counts_its_own_clusters():
    layout = qcow2.Layout(2**40, [(0, 2**38)])
    assert layout.file_size == layout.head_size + 2**38
    assert sum(len(piece) for piece in layout.head()) == layout.head_size


# Schema and model


def validator(name):
    registry = jsonschema.validators.validator_for(SCHEMAS[name])
    from referencing import Registry, Resource

    known = Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()])
    registry.check_schema(SCHEMAS[name])
    return registry(SCHEMAS[name], registry=known, format_checker=registry.FORMAT_CHECKER)


def test_a_manifest_that_was_exported_is_valid(tmp_path):
    make(tmp_path / "bundle")
    document = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    validator("manifest").validate(document)
    assert Manifest.from_dict(document).to_dict() == document


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        (Vm, SCHEMAS["vm"]),
        (Disk, SCHEMAS["vm"]["$defs"]["disk"]),
        (Nic, SCHEMAS["vm"]["$defs"]["nic"]),
        (PlacementRules, SCHEMAS["vm"]["$defs"]["placement"]),
        (Device, SCHEMAS["vm"]["$defs"]["device"]),
        (GroupRule, SCHEMAS["vm"]["$defs"]["group_rule"]),
        (RoundTrip, SCHEMAS["vm"]["$defs"]["round_trip"]),
        (Manifest, SCHEMAS["manifest"]),
        (File, SCHEMAS["manifest"]["$defs"]["file"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_schema_and_model_have_the_same_keys(model, schema):
    assert set(schema["properties"]) == set(model.__dataclass_fields__)
    assert schema["additionalProperties"] is False


BAD_SPECS = [
    {"name": "../x"},
    {"cpus": 0},
    {"memory": 1000},
    {"cpu_model": "host-passthrough"},
    {"machine": "q35"},
    {"firmware": "coreboot"},
    {"disks": [{"name": "hda", "size": 512, "storage": "ssd"}]},
    {"disks": [{"name": "vda", "size": 511, "storage": "ssd"}]},
    {"disks": [{"name": "vda", "size": 512, "storage": "ssd", "format": "vmdk"}]},
    {"nics": [{"network": "public", "mac": "52:54:00"}]},
    {"nics": [{"network": "public", "model": "ne2k"}]},
    {"allowed_countries": ["Spain"]},
    {"colour": "red"},
    {"placement": {"colour": "red"}},
    {"placement": {"weights": {"price": -1}}},
    {"placement": {"anti_affinity": [{"group": "web", "level": "rack"}]}},
    {"disks": [{"name": "vda", "size": 512, "storage": "ssd", "clone": "half"}]},
]


@pytest.mark.parametrize("bad", BAD_SPECS, ids=json.dumps)
def test_schema_and_model_refuse_the_same(bad):
    spec = {**VM.to_dict(), **bad}
    with pytest.raises(InputError):
        Vm.from_dict(spec)
    with pytest.raises(jsonschema.ValidationError):
        validator("vm").validate(spec)
    validator("vm").validate(VM.to_dict())


def test_a_policy_is_as_the_schema_says():
    policy = {
        "forbidden_countries": ["FR"],
        "devices": [{"kind": "gpu"}],
        "anti_affinity": [{"group": "web", "level": "site"}],
        "round_trips": [{"point": "office", "latitude": 42.5, "longitude": -2.4, "max_ms": 20}],
        "weights": {"round_trip": 2, "price": 1},
        "override": {"hypervisor": "es-1", "reason": "until spring"},
    }
    spec = Vm.from_dict({**VM.to_dict(), "placement": policy}).to_dict()
    assert spec["placement"]["override"]["reason"] == "until spring"
    validator("vm").validate(spec)


def test_the_collections_version_is_galaxys():
    assert yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"] == contents.COLLECTION


# The descriptor


def test_the_descriptor_refers_to_what_is_there(tmp_path):
    manifest = make(tmp_path / "bundle")
    root = ET.parse(tmp_path / "bundle" / "web-1.ovf").getroot()
    space = "{http://schemas.dmtf.org/ovf/envelope/2}"
    files = {file.get(f"{space}href"): file.get(f"{space}size") for file in root.iter(f"{space}File")}
    assert files == {file.path: str(file.size) for file in manifest.of("disk")}
    disks = {disk.get(f"{space}diskId"): disk.get(f"{space}capacity") for disk in root.iter(f"{space}Disk")}
    assert disks == {"vda": str(3 * 2**20), "vdb": str(2**20 + 512)}
    hardware = root.find(f"{space}VirtualSystem/{space}VirtualHardwareSection")
    assert [len(hardware.findall(f"{space}{tag}")) for tag in ("Item", "StorageItem", "EthernetPortItem")] == [3, 2, 1]


def test_discs_and_firmware_go_along(tmp_path):
    label = bytearray(40000)
    label[32808:32814] = b"cidata"
    (tmp_path / "seed.iso").write_bytes(label)
    (tmp_path / "other.iso").write_bytes(bytes(40000))
    (tmp_path / "vars.fd").write_bytes(b"variables")
    known = facts(media={"sda": str(tmp_path / "seed.iso"), "sdb": str(tmp_path / "other.iso")}, nvram=str(tmp_path / "vars.fd"))
    manifest = make(tmp_path / "bundle", known=known)
    assert [file.path for file in manifest.files if file.kind in ("medium", "nvram")] == ["sda.iso", "nvram.fd"]
    assert (tmp_path / "bundle" / "nvram.fd").read_bytes() == b"variables"
