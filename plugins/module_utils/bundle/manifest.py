# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifest of a bundle: ``manifest.json``, whose schema is published as docs/schemas/manifest.schema.json. Pure.

``from_dict`` refuses what cannot be meant with one sentence; a manifest of a newer version is refused before anything else is read.
"""

from __future__ import annotations

import json
import re
import uuid as uuidlib
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..fields import Fields, unique
from ..model import DISK_FORMATS, Owner, Portable, Vm

NAME = "manifest.json"
SUMS = "SHA256SUMS"
SCHEMA = "virt8ra.federation/bundle"
VERSION = 1
OFF, AGENT_FROZEN, CRASH_CONSISTENT = "off", "agent-frozen", "crash-consistent"
METHODS = (OFF, AGENT_FROZEN, CRASH_CONSISTENT)
DISK, MEDIUM, NVRAM, TPM, DOMAIN, OVF, OVF_SUMS = "disk", "medium", "nvram", "tpm", "domain", "ovf", "ovf-manifest"
KINDS = (DISK, MEDIUM, NVRAM, TPM, DOMAIN, OVF, OVF_SUMS)
FORMATS = (*DISK_FORMATS, "iso", "xml", "text", "binary")
COMPRESSIONS = ("none", "zstd")
_SHA256 = re.compile(r"^[0-9a-f]{64}\Z")
_PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,200}\Z")
_AGAIN = "export the VM again"


def check_path(path: str, option: str) -> str:
    """The path of a file inside the bundle; InputError for one that is, or could come to be, outside of it."""
    if path.startswith(("/", "\\")) or re.match(r"^[A-Za-z]:", path):
        raise InputError("is an absolute path, outside of the bundle", option=option, value=path, remedy=_AGAIN)
    parts = path.split("/")
    if ".." in parts:
        raise InputError("leads outside of the bundle", option=option, value=path, remedy=_AGAIN)
    if len(parts) > 2 or not all(_PART.match(part) for part in parts):
        remedy = f"{_AGAIN}: a name has letters, digits and . _ @ + - only, in at most one folder"
        raise InputError("is not the name of a file in a bundle", option=option, value=path, remedy=remedy)
    if path in (NAME, SUMS):
        raise InputError("is the bundle's own", option=option, value=path, remedy=_AGAIN)
    return path


@dataclass(frozen=True)
class File(Portable):
    """A file of the bundle. ``size`` in bytes, as it lies there; ``device`` is that of a disk or a drive (vda, sda).

    ``virtual_size`` in bytes is the disk's, 0 for what is none. ``compression`` is inside of the image's own format.
    """

    path: str
    kind: str
    size: int
    sha256: str
    format: str
    device: str = ""
    virtual_size: int = 0
    compression: str = "none"

    @classmethod
    def from_dict(cls, data: Any, where: str = "file") -> File:
        fields = Fields(data, where)
        read = cls(
            path=check_path(fields.text("path", required=True), fields.path("path")),
            kind=fields.choice("kind", KINDS, ""),
            size=fields.integer("size", None, 0, 2**62, required=True),
            sha256=fields.text("sha256", required=True),
            format=fields.choice("format", FORMATS, ""),
            device=fields.text("device"),
            virtual_size=fields.integer("virtual_size", 0, 0, 2**62),
            compression=fields.choice("compression", COMPRESSIONS, "none"),
        )
        fields.finish()
        if not _SHA256.match(read.sha256):
            remedy = f"{_AGAIN}: it has 64 hexadecimal digits in lower case"
            raise InputError("is not a SHA-256", option=fields.path("sha256"), value=read.sha256, remedy=remedy)
        if read.kind == DISK and (read.format not in DISK_FORMATS or not read.virtual_size or read.virtual_size % 512):
            remedy = f"{_AGAIN}: a disk is {' or '.join(DISK_FORMATS)}, with the virtual size in whole sectors"
            raise InputError(f"{read.path} is no disk that can be read", option=where, remedy=remedy)
        return read


@dataclass(frozen=True)
class Source(Portable):
    """Where the bundle was made."""

    site: str
    hypervisor: str
    provider: str
    country: str

    @classmethod
    def from_dict(cls, data: Any, where: str = "source") -> Source:
        fields = Fields(data, where)
        read = cls(*(fields.text(key, required=True) for key in ("site", "hypervisor", "provider", "country")))
        fields.finish()
        return read


@dataclass(frozen=True)
class Consistency(Portable):
    """How the disks were taken: ``method`` one of METHODS, ``detail`` why no better one; all of them are of the same instant."""

    method: str
    detail: str = ""

    @classmethod
    def from_dict(cls, data: Any, where: str = "consistency") -> Consistency:
        fields = Fields(data, where)
        read = cls(fields.choice("method", METHODS, ""), fields.text("detail"))
        fields.finish()
        return read


@dataclass(frozen=True)
class Manifest(Portable):
    """``created`` is ISO 8601 in UTC; ``software`` maps names to versions; a bundle holds no checkpoints, so that list is empty."""

    id: str
    created: str
    vm: Vm
    source: Source
    consistency: Consistency
    files: tuple[File, ...]
    owner: Owner | None = None
    software: dict[str, str] = field(default_factory=dict)
    checkpoints: tuple[str, ...] = ()
    schema: str = SCHEMA
    version: int = VERSION

    @classmethod
    def from_dict(cls, data: Any, where: str = "") -> Manifest:
        fields = Fields(data, where)
        _check_version(fields)
        owner = fields.get("owner")
        read = cls(
            id=fields.text("id", required=True),
            created=fields.text("created", required=True),
            vm=Vm.from_dict(fields.get("vm", required=True), fields.path("vm")),
            source=Source.from_dict(fields.get("source", required=True), fields.path("source")),
            consistency=Consistency.from_dict(fields.get("consistency", required=True), fields.path("consistency")),
            files=fields.each("files", File.from_dict),
            owner=None if owner is None else _owner(owner, fields.path("owner")),
            software=fields.text_map("software"),
            checkpoints=fields.texts("checkpoints"),
        )
        fields.finish()
        read._check()
        return read

    @classmethod
    def from_text(cls, text: str) -> Manifest:
        try:
            data = json.loads(text)
        except ValueError as error:
            raise InputError(f"the manifest {NAME} is not JSON ({error})", remedy=f"copy the bundle again, or {_AGAIN}") from error
        return cls.from_dict(data)

    def to_text(self) -> str:
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def _check(self) -> None:
        try:
            uuidlib.UUID(self.id)
        except ValueError:
            raise InputError("is not a UUID", option="id", value=self.id, remedy=_AGAIN) from None
        unique([file.path for file in self.files], "files.path")
        unique([f"{file.kind} {file.device}" for file in self.files if file.device], "files.device")
        if self.checkpoints:
            raise InputError("are not held by bundles of this version", option="checkpoints", remedy=_AGAIN)
        if not self.vm.uuid:
            raise InputError("is required but not given", option="vm.uuid", remedy=_AGAIN)
        disks = {file.device: file.virtual_size for file in self.of(DISK)}
        if disks != {disk.name: disk.size for disk in self.vm.disks}:
            told = ", ".join(f"{name} of {size} bytes" for name, size in sorted(disks.items())) or "none"
            raise InputError(f"the files hold other disks ({told}) than the VM has", option="vm.disks", remedy=_AGAIN)
        if len(self.of(DOMAIN)) != 1 or len(self.of(NVRAM)) > 1:
            raise InputError("must hold one domain and at most one nvram", option="files", remedy=_AGAIN)

    def of(self, kind: str) -> tuple[File, ...]:
        """The files of a kind, in their order."""
        return tuple(file for file in self.files if file.kind == kind)

    def disk(self, device: str) -> File:
        return next(file for file in self.of(DISK) if file.device == device)


def _check_version(fields: Fields) -> None:
    schema = fields.text("schema", required=True)
    if schema != SCHEMA:
        raise InputError(
            "is not the manifest of a bundle", option="schema", value=schema, remedy="give the folder or tar of a bundle"
        )
    version = fields.get("version", required=True)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise InputError("is not a version of the schema", option="version", value=version, remedy=_AGAIN)
    if version > VERSION:
        raise InputError(
            f"is newer than {VERSION}, the newest that is known here",
            option="version",
            value=version,
            remedy="use the release of virt8ra.federation that wrote it, or a later one",
        )


def _owner(data: Any, where: str) -> Owner:
    fields = Fields(data, where)
    read = Owner(fields.text("hypervisor", required=True), fields.integer("epoch", None, 0, 2**31, required=True))
    fields.finish()
    return read
