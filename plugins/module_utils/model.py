# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The federation's nouns as plain data.

``to_dict`` and ``from_dict`` ARE the portable schema: modules, inventory, exports and reports all speak it.
Sizes are bytes, coordinates are decimal degrees, countries are ISO 3166-1 alpha-2, names are case-sensitive.
``from_dict`` raises InputError with the whole path of the key that is wrong.
"""

from __future__ import annotations

import re
import uuid as uuidlib
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from .attestations import certifications, read_attestations
from .clusters import Cluster
from .countries import check_country
from .errors import InputError
from .fields import Fields, unique
from .portable import Portable
from .rules import PlacementRules, check_countries, read_rules

BACKENDS = ("libvirt", "kubernetes")
DISK_FORMATS = ("qcow2", "raw")
DISK_BUSES = ("virtio", "scsi", "sata")
FIRMWARES = ("bios", "uefi")
CLONES = ("full", "thin")
NIC_MODELS = ("virtio", "e1000e", "rtl8139")
VM_STATES = ("running", "paused", "stopped", "crashed")
DEFAULT_CPU_MODEL = "Nehalem"
DEFAULT_CPU_OVERCOMMIT = 4.0
DEFAULT_MEMORY_OVERCOMMIT = 1.0

_MAC = re.compile(r"^([0-9a-f]{2}:){5}[0-9a-f]{2}\Z")
# name, or name:version, of an image in the library.
_LIBRARY_IMAGE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}(:[A-Za-z0-9][A-Za-z0-9._-]{0,62})?\Z")
_DEVICE = re.compile(r"^(vd|sd)[a-z]\Z")
_FLOATING_MACHINES = ("pc", "q35", "virt")


@dataclass(frozen=True)
class Hypervisor(Portable):
    """A KVM host under libvirt. ``address`` is what others reach it by; ``name`` is in its certificate."""

    name: str
    address: str
    uri: str
    site: str

    @classmethod
    def from_dict(cls, data: Any, where: str = "hypervisor", site: str = "") -> Hypervisor:
        fields = Fields(data, where)
        name = fields.name()
        address = fields.text("address", name)
        uri = fields.text("uri", f"qemu+tls://{_bracketed(address)}/system")
        read = cls(name=name, address=address, uri=uri, site=fields.text("site", site))
        fields.finish()
        return read


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@dataclass(frozen=True)
class Site(Portable):
    """One location of one provider; ``networks`` and ``storage`` map logical names to the site's own.

    ``cpu_overcommit`` and ``memory_overcommit``: how many times what a hypervisor has may be promised to VMs. ``cpu_price``
    and ``memory_price``: of a vCPU and of a GiB for an hour, in the federation's currency. ``energy``: watts for a vCPU.
    None: not told.
    """

    name: str
    provider: str
    country: str
    city: str = ""
    latitude: float | None = None
    longitude: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    storage: dict[str, str] = field(default_factory=dict)
    attestations: tuple[dict[str, Any], ...] = ()
    cpu_overcommit: float = DEFAULT_CPU_OVERCOMMIT
    memory_overcommit: float = DEFAULT_MEMORY_OVERCOMMIT
    cpu_price: float | None = None
    memory_price: float | None = None
    energy: float | None = None
    backend: str = "libvirt"
    hypervisors: tuple[Hypervisor, ...] = ()
    clusters: tuple[Cluster, ...] = ()

    @classmethod
    def from_dict(cls, data: Any, where: str = "site") -> Site:
        fields = Fields(data, where)
        name = fields.name()
        read = cls(
            name=name,
            provider=fields.text("provider", required=True),
            country=check_country(fields.text("country", required=True), fields.path("country")),
            city=fields.text("city"),
            latitude=fields.number("latitude", -90, 90),
            longitude=fields.number("longitude", -180, 180),
            labels=fields.text_map("labels"),
            networks=fields.text_map("networks"),
            storage=fields.text_map("storage"),
            attestations=read_attestations(fields),
            cpu_overcommit=_or_default(fields.number("cpu_overcommit", 0.1, 100), DEFAULT_CPU_OVERCOMMIT),
            memory_overcommit=_or_default(fields.number("memory_overcommit", 0.1, 10), DEFAULT_MEMORY_OVERCOMMIT),
            cpu_price=fields.number("cpu_price", 0, 1e6),
            memory_price=fields.number("memory_price", 0, 1e6),
            energy=fields.number("energy", 0, 1e6),
            backend=fields.choice("backend", BACKENDS, "libvirt"),
            hypervisors=fields.each("hypervisors", lambda item, path: Hypervisor.from_dict(item, path, site=name)),
            clusters=fields.each("clusters", Cluster.from_dict),
        )
        fields.finish()
        return read

    def certifications(self, today: date) -> frozenset[str]:
        """What is attested of it on that day."""
        return certifications(self.attestations, today)

    def local_storage(self, logical: str, option: str) -> str:
        """The pool behind a logical storage name; InputError when the site maps none."""
        return _mapped(self.storage, logical, option, f"storage of site {self.name}")

    def local_network(self, logical: str, option: str) -> str:
        """The network behind a logical network name; InputError when the site maps none."""
        return _mapped(self.networks, logical, option, f"networks of site {self.name}")

    def logical_storage(self, pool: str, preferred: str = "") -> str:
        """The logical name of a pool, ``preferred`` where several fit; empty when the site maps none to it."""
        return _logical(self.storage, pool, preferred)

    def logical_network(self, network: str, preferred: str = "") -> str:
        """The logical name of a network, as logical_storage."""
        return _logical(self.networks, network, preferred)


def _or_default(number: float | None, default: float) -> float:
    return default if number is None else number


def _mapped(mapping: dict[str, str], logical: str, option: str, of: str) -> str:
    if logical in mapping:
        return mapping[logical]
    known = ", ".join(sorted(mapping)) or "none"
    raise InputError(
        f"is not in the {of}", option=option, value=logical, remedy=f"map it in the federation file, or use one of: {known}"
    )


def _logical(mapping: dict[str, str], local: str, preferred: str) -> str:
    if mapping.get(preferred) == local:
        return preferred
    return next((logical for logical in sorted(mapping) if mapping[logical] == local), "")


@dataclass(frozen=True)
class Disk(Portable):
    """``size`` in bytes; ``storage`` a logical name; what it is made from is ``image``.

    ``image`` is ``<name>:<version>`` of the library, ``<name>`` for its newest version there, or ``<logical storage>/<volume>``.
    ``clone``: ``full`` is a copy of it, ``thin`` a qcow2 volume that backs on it for as long as it is at this hypervisor.
    """

    name: str
    size: int
    storage: str
    format: str = "qcow2"
    bus: str = "virtio"
    image: str | None = None
    clone: str = "full"

    @classmethod
    def from_dict(cls, data: Any, where: str = "disk") -> Disk:
        fields = Fields(data, where)
        read = cls(
            name=fields.name(),
            size=fields.size("size", required=True),
            storage=fields.text("storage", required=True),
            format=fields.choice("format", DISK_FORMATS, "qcow2"),
            bus=fields.choice("bus", DISK_BUSES, "virtio"),
            image=fields.optional_text("image"),
            clone=fields.choice("clone", CLONES, "full"),
        )
        fields.finish()
        if not _DEVICE.match(read.name):
            raise InputError(
                "is not a disk device", option=f"{where}.name", value=read.name, remedy="use vda, vdb, … or sda, sdb, …"
            )
        if (read.bus == "virtio") != read.name.startswith("vd"):
            raise InputError(
                f"does not go with bus {read.bus}", option=f"{where}.name", value=read.name, remedy="use vd* on virtio, sd* else"
            )
        if read.size % 512:
            raise InputError(
                "is not a multiple of 512 bytes", option=f"{where}.size", value=read.size, remedy="round it to whole sectors"
            )
        read._check_image(where)
        return read

    def _check_image(self, where: str) -> None:
        image = self.image
        if image is not None and not _LIBRARY_IMAGE.match(image) and len([part for part in image.split("/") if part]) != 2:
            remedy = "write <name>:<version> of the library, or <logical storage>/<volume>"
            raise InputError("is not an image", option=f"{where}.image", value=image, remedy=remedy)
        if self.clone == "thin" and image is None:
            raise InputError("has no image to back on", option=f"{where}.clone", value="thin", remedy="give the disk an image")
        if self.clone == "thin" and self.format != "qcow2":
            remedy = "use format qcow2, or clone full"
            raise InputError(f"cannot be {self.format}", option=f"{where}.clone", value="thin", remedy=remedy)


@dataclass(frozen=True)
class Nic(Portable):
    """``network`` is a logical name; an empty ``mac`` lets the back end choose one, which is then kept."""

    network: str
    mac: str = ""
    model: str = "virtio"

    @classmethod
    def from_dict(cls, data: Any, where: str = "nic") -> Nic:
        fields = Fields(data, where)
        read = cls(
            network=fields.text("network", required=True),
            mac=fields.text("mac").lower(),
            model=fields.choice("model", NIC_MODELS, "virtio"),
        )
        fields.finish()
        if read.mac and not _MAC.match(read.mac):
            raise InputError("is not a MAC address", option=f"{where}.mac", value=read.mac, remedy="write it as 52:54:00:12:34:56")
        if read.mac and int(read.mac[:2], 16) & 1:
            raise InputError("is a multicast address", option=f"{where}.mac", value=read.mac, remedy="make its first octet even")
        return read


@dataclass(frozen=True)
class Vm(Portable):
    """The portable spec of a VM. Empty ``uuid`` and ``machine`` are chosen by the back end at creation and kept.

    ``memory`` in bytes. ``cpu_model`` is a named model or ``baseline``; ``machine`` a pinned version such as
    ``pc-q35-7.2``. ``allowed_countries`` (empty: any) and ``placement`` travel with the VM and hold on every migration.
    """

    name: str
    cpus: int
    memory: int
    uuid: str = ""
    description: str = ""
    cpu_model: str = DEFAULT_CPU_MODEL
    machine: str = ""
    firmware: str = "bios"
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    console_log: bool = False
    autostart: bool = False
    allowed_countries: tuple[str, ...] = ()
    placement: PlacementRules | None = None

    def to_dict(self) -> dict[str, Any]:
        """``placement`` only where there is one."""
        return {key: value for key, value in super().to_dict().items() if key != "placement" or value}

    @property
    def rules(self) -> PlacementRules:
        """The placement policy, also of a VM that has none."""
        return self.placement or PlacementRules()

    @classmethod
    def from_dict(cls, data: Any, where: str = "") -> Vm:
        fields = Fields(data, where)
        read = cls(
            name=fields.name(),
            cpus=fields.integer("cpus", None, 1, 1024, required=True),
            memory=fields.size("memory", required=True),
            uuid=fields.text("uuid"),
            description=fields.text("description"),
            cpu_model=fields.text("cpu_model", DEFAULT_CPU_MODEL),
            machine=fields.text("machine"),
            firmware=fields.choice("firmware", FIRMWARES, "bios"),
            disks=fields.each("disks", Disk.from_dict),
            nics=fields.each("nics", Nic.from_dict),
            console_log=fields.boolean("console_log", False),
            autostart=fields.boolean("autostart", False),
            allowed_countries=tuple(
                check_country(code, fields.path("allowed_countries")) for code in fields.texts("allowed_countries")
            ),
            placement=read_rules(fields.get("placement"), fields.path("placement")),
        )
        fields.finish()
        read._check(fields)
        return read

    def _check(self, fields: Fields) -> None:
        if self.memory % 1024 or self.memory < 4 * 2**20:
            raise InputError(
                "is too small or not whole KiB", option=fields.path("memory"), value=self.memory, remedy="use 4MiB or more"
            )
        if self.cpu_model in ("host-passthrough", "host-model", "maximum", "host", "max"):
            remedy = "use a named model such as Nehalem, or baseline"
            raise InputError("ties the VM to one host", option=fields.path("cpu_model"), value=self.cpu_model, remedy=remedy)
        if self.machine in _FLOATING_MACHINES:
            remedy = "pin a version such as pc-q35-7.2, or leave it out for the newest that the hypervisor has"
            raise InputError("is not a pinned machine type", option=fields.path("machine"), value=self.machine, remedy=remedy)
        if self.uuid:
            try:
                uuidlib.UUID(self.uuid)
            except ValueError:
                raise InputError(
                    "is not a UUID", option=fields.path("uuid"), value=self.uuid, remedy="leave it out for a new one"
                ) from None
        unique([disk.name for disk in self.disks], fields.path("disks"))
        unique([nic.mac for nic in self.nics if nic.mac], fields.path("nics"))
        check_countries(self.allowed_countries, self.placement)
        for index, trip in enumerate(self.rules.round_trips):
            if trip.vm == self.name:
                option = f"{fields.path('placement')}.round_trips[{index}]"
                raise InputError("is the VM itself", option=option, value=trip.vm, remedy="name another VM, a site or a point")


@dataclass(frozen=True)
class Owner(Portable):
    """The one hypervisor that may run a VM; the epoch grows with every change of owner."""

    hypervisor: str
    epoch: int


@dataclass(frozen=True)
class VmStatus(Portable):
    """What a back end observed of a VM, beside its spec. ``addresses`` are IP addresses, best first.

    ``cloud_init`` is the digest of what its guest was given at the first boot; empty for none.
    """

    state: str
    vm: Vm
    owner: Owner | None = None
    addresses: tuple[str, ...] = ()
    persistent: bool = True
    managed: bool = False
    cloud_init: str = ""


@dataclass(frozen=True)
class Observed:
    """One end of a migration as it was read: ``state`` is running, paused, stopped, crashed, absent or unreachable.

    ``migrated``: libvirt gives migration as the reason of the stop. ``died``: nobody stopped it, its QEMU died.
    ``arrived``: paused, and no longer because of an incoming migration, so that all of its memory is there. ``busy``: a job
    is active on the domain. ``stuck``: that job has hold of the domain, which answers nothing else meanwhile.
    """

    state: str
    migrated: bool = False
    arrived: bool = False
    busy: bool = False
    died: bool = False
    stuck: bool = False

    def __str__(self) -> str:
        notes = [word for word, holds in (("migrated", self.migrated), ("a job is active", self.busy)) if holds]
        return f"{self.state} ({', '.join(notes)})" if notes else self.state
