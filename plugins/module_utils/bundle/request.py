# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person wants of an export or an import. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..model import DISK_FORMATS
from . import belongings
from .writing import FOLDER

KEEP, NEW = "keep", "new"
IDENTITIES = (KEEP, NEW)


@dataclass(frozen=True)
class ExportRequest:
    """What a person wants.

    :param path: of the bundle, on this hypervisor
    :param form: one of writing.SHAPES
    :param format: of the disks' images; ``compress`` packs qcow2 with zstd
    :param media: which discs go along, one of belongings.MEDIA
    :param force: replace a bundle of the VM that is there
    """

    name: str
    path: str
    form: str = FOLDER
    format: str = "qcow2"
    compress: bool = False
    media: str = belongings.CLOUD_INIT
    force: bool = False

    def check(self) -> None:
        """InputError for what cannot be meant."""
        path = Path(self.path)
        if not path.is_absolute() or ".." in path.parts or not path.name:
            raise InputError("is not an absolute path", option="path", value=self.path, remedy="write it from / on")
        if path.name.startswith("."):
            raise InputError("is a hidden name", option="path", value=self.path, remedy="give a name that begins with no dot")
        if self.compress and self.format != "qcow2":
            remedy = "use format qcow2, which holds packed clusters that qemu-img reads by itself"
            raise InputError(f"does not go with format {self.format}", option="compress", value=True, remedy=remedy)
        if not path.parent.is_dir():
            raise InputError(f"the folder {path.parent} is not there", option="path", value=self.path, remedy="make it first")


@dataclass(frozen=True)
class ImportRequest:
    """What a person wants.

    :param path: of the bundle, on this hypervisor
    :param name: of the VM; empty for that in the bundle
    :param state: ``present`` or ``running``
    :param identity: KEEP the UUID and MAC addresses, or make NEW ones
    :param storage: other logical storage names, old to new; ``networks`` likewise; ``formats`` by device
    :param peers: other hypervisors that are asked whether they have the VM: their libvirt URIs by name
    :param fetch_from: URI of the hypervisor where the bundle is, at the same path; empty where it is here
    """

    path: str
    name: str = ""
    state: str = "present"
    identity: str = KEEP
    storage: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    accelerator: str = "auto"
    connections: int = 4
    peers: Mapping[str, str] = field(default_factory=dict)
    fetch_from: str = ""

    def check(self) -> None:
        """InputError for what cannot be meant."""
        path = Path(self.path)
        if not path.is_absolute() or ".." in path.parts or not path.name:
            raise InputError("is not an absolute path", option="path", value=self.path, remedy="write it from / on")
        if self.connections < 1:
            raise InputError("is less than one", option="connections", value=self.connections, remedy="use 1 or more")
        for disk, format in self.formats.items():
            if format not in DISK_FORMATS:
                remedy = f"use one of {', '.join(DISK_FORMATS)}"
                raise InputError("is not a format of disks", option=f"formats.{disk}", value=format, remedy=remedy)
