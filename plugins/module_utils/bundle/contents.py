# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes all files of a bundle, the manifest and the list of digests as the last ones."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

from ..backends.facts import DiskFacts, SourceFacts
from ..backends.image_convert import convert_compressed
from ..backends.libvirt.migration_end import MigrationEnd
from ..backends.libvirt.site_facts import versions
from ..model import Owner, Site, Vm
from . import belongings, ovf
from .disks import DiskSource
from .imaging import Image, Imaging
from .manifest import DISK, DOMAIN, NAME, OVF, OVF_SUMS, SUMS, Consistency, File, Manifest, Source
from .request import ExportRequest
from .template import FOLDER, NETWORK, Parts, portable_domain, template_text
from .writing import Writer, sums, write_whole

COLLECTION = "0.1.0"
_PIECE = 2**20
_SHOW = 0.25


class Progress:
    """Bytes of data that were read, told about four times a second."""

    def __init__(self, report: Callable[[str, dict[str, Any]], None], total: int) -> None:
        self._report = report
        self._total = total
        self._began = time.monotonic()
        self._told = 0.0
        self._bytes = 0

    def add(self, amount: int) -> None:
        self._bytes += amount
        now = time.monotonic()
        if now - self._told < _SHOW:
            return
        self._told = now
        seconds = now - self._began
        rate = self._bytes / seconds if seconds > 0 else 0.0
        total = max(self._total, self._bytes)
        figures = {"bytes": self._bytes, "total_bytes": total, "percent": round(100 * self._bytes / total, 1) if total else 100.0}
        eta = round((total - self._bytes) / rate) if rate else None
        self._report("copying", {**figures, "bytes_per_second": int(rate), "seconds": round(seconds, 1), "eta_seconds": eta})


class Contents:
    """The files of one bundle."""

    def __init__(
        self, out: Writer, facts: SourceFacts, request: ExportRequest, report: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self._out = out
        self._facts = facts
        self._request = request
        self._report = report
        self._files: list[File] = []

    def write(self, source: DiskSource, id: str, site: Site, end: MigrationEnd) -> Manifest:
        """The manifest of what was written."""
        progress = Progress(self._report, sum(min(disk.allocation, disk.capacity) for disk in self._facts.disks))
        for disk in self._facts.disks:
            self._files.append(self._packed(source, disk) if self._request.compress else self._plain(source, disk, progress))
        for one in belongings.found(self._facts, self._request.media):
            self._files.append(self._copied(one))
        self._add("domain.xml", DOMAIN, "xml", self._domain(end.xml(persistent=self._facts.persistent)))
        manifest = self._manifest(source.consistency, id, site, end)
        descriptor = f"{manifest.vm.name}.ovf"
        self._add(descriptor, OVF, "xml", ovf.descriptor(manifest))
        mentioned = [file for file in self._files if file.kind in (OVF, DISK)]
        self._add(f"{manifest.vm.name}.mf", OVF_SUMS, "text", ovf.digests([(file.path, file.sha256) for file in mentioned]))
        manifest = dataclasses.replace(manifest, files=tuple(self._files))
        digest = write_whole(self._out, NAME, manifest.to_text().encode())
        listed = [*((file.path, file.sha256) for file in self._files), (NAME, digest)]
        write_whole(self._out, SUMS, sums(listed).encode())
        return manifest

    def _plain(self, source: DiskSource, disk: DiskFacts, progress: Progress) -> File:
        name = f"{disk.name}.{self._request.format}"
        with source.reader(disk) as reader:
            image = Image(reader, self._request.format)
            with self._out.file(name, image.file_size) as sink:
                digest = Imaging(image, sink, progress.add).run()
            return File(name, DISK, image.file_size, digest, self._request.format, disk.name, reader.size)

    def _packed(self, source: DiskSource, disk: DiskFacts) -> File:
        name = f"{disk.name}.qcow2"
        made = self._out.aside(disk.name)
        try:
            with source.uri(disk) as uri:
                convert_compressed(uri, str(made), lambda done: self._report(f"packing {disk.name}", {"bytes": done}))
            size, digest = self._poured(str(made), name)
        finally:
            made.unlink(missing_ok=True)
        return File(name, DISK, size, digest, "qcow2", disk.name, disk.capacity, "zstd")

    def _copied(self, one: belongings.Belonging) -> File:
        size, digest = self._poured(one.source, one.path)
        return File(one.path, one.kind, size, digest, one.format, one.device)

    def _poured(self, source: str, name: str) -> tuple[int, str]:
        """Copy a file of this host into the bundle; its size and SHA-256."""
        digest, at = hashlib.sha256(), 0
        with Path(source).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            with self._out.file(name, size) as sink:
                while piece := file.read(min(_PIECE, size - at)):
                    digest.update(piece)
                    sink.write(at, piece)
                    at += len(piece)
                # A file that was cut meanwhile reads as zeroes to its end.
                digest.update(bytes(size - at))
        return size, digest.hexdigest()

    def _add(self, name: str, kind: str, format: str, text: str) -> None:
        content = text.encode()
        self._files.append(File(name, kind, len(content), write_whole(self._out, name, content), format))

    def _domain(self, xml: str) -> str:
        names = {file.device: file for file in self._files if file.device}
        nvram = any(file.path == belongings.NVRAM_FILE for file in self._files)
        parts = Parts(
            disks={name: (file.format, f"{FOLDER}/{file.path}") for name, file in names.items() if file.kind == DISK},
            media={name: f"{FOLDER}/{file.path}" for name, file in names.items() if file.kind != DISK},
            networks=[(NETWORK.format(name=nic.network), nic.mac) for nic in self._facts.vm.nics],
            nvram=f"{FOLDER}/{belongings.NVRAM_FILE}" if nvram else "",
        )
        return template_text(portable_domain(xml, parts))

    def _manifest(self, consistency: Consistency, id: str, site: Site, end: MigrationEnd) -> Manifest:
        facts = self._facts
        formats = {file.device: file for file in self._files if file.kind == DISK}
        disks = tuple(
            dataclasses.replace(disk, format=formats[disk.name].format, size=formats[disk.name].virtual_size)
            for disk in facts.vm.disks
        )
        vm: Vm = dataclasses.replace(facts.vm, disks=disks, autostart=end.autostart() if facts.persistent else False)
        software = {"virt8ra.federation": COLLECTION, "python": platform.python_version(), **versions(end.connection)}
        return Manifest(
            id=id,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            vm=vm,
            source=Source(site.name, end.hypervisor, site.provider, site.country),
            consistency=consistency,
            files=tuple(self._files),
            owner=Owner(facts.owner, facts.epoch) if facts.owner else None,
            software=software,
        )
