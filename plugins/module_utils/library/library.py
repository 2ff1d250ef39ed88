# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor's part of the image library: images come, are looked after, and go when nobody backs on them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial as partial_of
from pathlib import Path
from typing import Any, Callable

from ..backends.libvirt.image_pool import ImagePool, download
from ..errors import BackendError, FederationError, InputError
from ..image_records import Record, Records, image_lock
from ..images import Image, version_key, volume_name
from ..model import DISK_FORMATS
from ..qcow2 import checked_size
from .nearest import Peer, nearest_first, round_trips
from .receiving import LocalError, Meter, Offer, digest_of, receive
from .sources import from_file, from_url

PRESENT, ADOPTED, ABSENT, DAMAGED = "present", "adopted", "absent", "damaged"
Report = Callable[[str, dict[str, Any]], None]
Opener = Callable[[], contextlib.AbstractContextManager[Offer]]


@dataclass(frozen=True)
class Brought:
    """What became of an image: ``state`` before, where it was fetched from (empty: it was there), its ``record``.

    ``push`` names a file on the controller that has to be brought here first; nothing was done then.
    """

    state: str
    record: Record | None = None
    fetched_from: str = ""
    push: str = ""

    @property
    def changed(self) -> bool:
        return self.state != PRESENT


class Library:
    """The library here.

    :param connect: a new connection to a peer's URI
    :param report: called with a phase and its figures, about twice a second
    """

    def __init__(
        self, pool: ImagePool, state_path: str, connect: Callable[[str], Any], report: Report, progress_path: str | None = None
    ) -> None:
        self.pool = pool
        self.records = Records(state_path, pool.name)
        self._state_path = state_path
        self._connect = connect
        self._report = report
        self._progress_path = progress_path

    def path(self, volume: str) -> Path:
        return self.pool.folder / volume

    def bring(
        self, image: Image, peers: Sequence[Peer] = (), *, verify: bool = False, pushed: str = "", check: bool = False
    ) -> Brought:
        """Have the image here, its digest checked; whoever asks at the same time waits and finds it.

        :param verify: read it again, whatever its record says
        :param pushed: where the source's file was put here
        :param check: only look
        """
        state = self._look(image, verify, check)
        if state in (PRESENT, ADOPTED) or check:
            return Brought(state, self.records.find(image.volume))
        with self._lock(image.volume):
            # Another run may have brought it meanwhile.
            now = self._look(image, False, False)
            if now in (PRESENT, ADOPTED):
                return Brought(PRESENT, self.records.find(image.volume))
            return self._fetch(image, peers, pushed, now)

    def _look(self, image: Image, verify: bool, check: bool) -> str:
        path, record = self.path(image.volume), self.records.find(image.volume)
        if not path.exists():
            return ABSENT
        if record is not None and record.sha256 != image.sha256:
            what = f"is not the digest of {image.reference} in the library here, which is {record.sha256}"
            remedy = "give what changed a new version; an image of one version stays as it is"
            raise InputError(what, option="sha256", value=image.sha256, remedy=remedy)
        if record is not None and not verify and record.is_of(path):
            return PRESENT
        found = digest_of(path, Meter(self._report, "reading", path.stat().st_size, self.pool.name))
        if found == image.sha256:
            self._note(image, path, record, check)
            return PRESENT if record is not None else ADOPTED
        if record is None:
            what = f"the pool {self.pool.name} has a volume {image.volume} already, with the digest {found}"
            raise InputError(what, option="name", value=image.name, remedy="remove it there, or give the image another version")
        users = self.users(image.volume)
        if users:
            what = f"the image {image.reference} is damaged ({path} has the digest {found}), and {', '.join(users)} back on it"
            raise BackendError(what, remedy="restore those VMs, or move them to disks of their own, and remove it")
        return DAMAGED

    def _note(self, image: Image, path: Path, record: Record | None, check: bool) -> None:
        try:
            size = checked_size(path, image.format)
        except BackendError as error:
            raise BackendError(f"the image {image.reference} {error.what}", remedy=error.remedy) from error
        if not check:
            origin = record.origin if record is not None else f"found in pool {self.pool.name}"
            self.records.write(Record.of(image, path, size, _now(), origin))

    def _fetch(self, image: Image, peers: Sequence[Peer], pushed: str, state: str) -> Brought:
        partial = self.path(f".{image.volume}.{os.uname().nodename}.partial")
        # One that a run left which was killed.
        partial.unlink(missing_ok=True)
        reasons: list[str] = []
        try:
            for label, opener in self._attempts(image, peers, pushed, reasons):
                try:
                    with opener() as offer:
                        meter = Meter(self._report, "fetching", offer.length or image.size or offer.about, label)
                        receive(offer, partial, image, self.pool.free(), meter)
                except LocalError:
                    raise
                except FederationError as error:
                    reasons.append(f"{label} {error.what}")
                    continue
                return Brought(state, self._publish(image, partial, state, label), label)
        finally:
            partial.unlink(missing_ok=True)
        if image.source.file and not pushed:
            return Brought(state, push=image.source.file)
        told = "; ".join(reasons) or "no other hypervisor has it"
        raise BackendError(f"the image {image.reference} cannot be had: {told}", remedy="correct its source or its digest")

    def _attempts(self, image: Image, peers: Sequence[Peer], pushed: str, reasons: list[str]) -> Iterator[tuple[str, Opener]]:
        """Where it may be had, in the order in which it is tried, each with how to open it."""
        if peers:
            self._report("measuring", {"source": f"{len(peers)} hypervisors"})
        measured = round_trips(peers)
        reasons += [f"{peer.name} does not answer" for peer in peers if measured.get(peer.name, 0.0) is None]
        for peer in nearest_first(peers, measured):
            yield peer.name, partial_of(self._from_peer, peer, image.volume)
        if image.source.url:
            yield image.source.url, partial_of(from_url, image.source.url)
        if image.source.file and pushed:
            yield str(image.source), partial_of(from_file, Path(pushed))

    @contextlib.contextmanager
    def _from_peer(self, peer: Peer, volume: str) -> Iterator[Offer]:
        connection = self._connect(peer.uri)
        try:
            about, pieces = download(connection, peer.pool, volume)
            # Its stream ends before its connection does.
            with contextlib.closing(pieces):
                yield Offer(pieces, about=about)
        finally:
            with contextlib.suppress(Exception):
                connection.close()

    def _publish(self, image: Image, partial: Path, state: str, origin: str) -> Record:
        try:
            size = checked_size(partial, image.format)
        except BackendError as error:
            raise BackendError(f"the image {image.reference} {error.what}", remedy=error.remedy) from error
        path = self.path(image.volume)
        try:
            partial.chmod(0o644)
            if state == DAMAGED:
                partial.replace(path)
            else:
                # Fails where somebody put a file there meanwhile.
                os.link(partial, path)
            _sync(path.parent)
        except OSError as error:
            raise BackendError(f"{path} cannot be made ({error.strerror})", remedy="look at the pool, and run it again") from error
        record = Record.of(image, path, size, _now(), origin)
        self.records.write(record)
        self.pool.show()
        return record

    def users(self, volume: str) -> list[str]:
        """Who reads a volume of the pool: VMs, and volumes that back on it."""
        return self.pool.users().get(os.path.realpath(self.path(volume)), [])

    def volumes_of(self, name: str, version: str) -> list[str]:
        """Volumes here that hold an image, recorded or not."""
        named = [volume_name(name, version, format) for format in DISK_FORMATS]
        return [volume for volume in named if self.path(volume).exists() or self.records.find(volume) is not None]

    def remove(self, name: str, version: str, *, check: bool = False) -> bool:
        """Whether there was something to remove; BackendError while somebody backs on it."""
        there = self.volumes_of(name, version)
        for volume in there:
            with self._lock(volume):
                users = self.users(volume)
                if users:
                    what = f"the image {name}:{version} is in use: {', '.join(users)} back on it"
                    raise BackendError(what, remedy="remove or move those first, or use keep, which leaves such images alone")
                if not check:
                    self._delete(volume)
        return bool(there)

    def prune(self, name: str, keep: int, *, brought: str = "", check: bool = False) -> tuple[list[str], dict[str, list[str]]]:
        """Remove all versions of an image but the newest ``keep``: (versions removed, users of old ones that stay, by version).

        :param brought: the version that was just asked for, which counts and stays, whatever its age
        """
        removed: list[str] = []
        in_use: dict[str, list[str]] = {}
        records = {record.version: record for record in self.records.all() if record.name == name}
        versions = sorted({*records, *([brought] if brought else [])}, key=version_key, reverse=True)
        for record in (records[version] for version in versions[keep:] if version != brought):
            with self._lock(record.volume):
                users = self.users(record.volume)
                if users:
                    in_use[record.version] = users
                    continue
                removed.append(record.version)
                if not check:
                    self._delete(record.volume)
        return removed, in_use

    def _delete(self, volume: str) -> None:
        # The record first: an image without one is not offered to new disks.
        self.records.forget(volume)
        try:
            self.path(volume).unlink(missing_ok=True)
        except OSError as error:
            raise BackendError(f"{self.path(volume)} cannot be removed ({error.strerror})", remedy="look at the pool") from error
        self.pool.show()

    def _lock(self, volume: str) -> contextlib.AbstractContextManager[bool]:
        return image_lock(self._state_path, self.pool.name, volume, self._report, self._progress_path).held(0)

    def listing(self) -> list[dict[str, Any]]:
        """Every image here, as ``described``, and who backs on it (``used_by``)."""
        users = self.pool.users()
        return [
            {**self.described(record), "used_by": users.get(os.path.realpath(self.path(record.volume)), [])}
            for record in self.records.all()
        ]

    def described(self, record: Record) -> dict[str, Any]:
        """Its record, its place, and whether its file is as it was when it was checked."""
        path = self.path(record.volume)
        known = {key: value for key, value in record.to_dict().items() if key not in ("mtime_ns", "inode")}
        return {**known, "pool": self.pool.name, "volume": record.volume, "path": str(path), "intact": record.is_of(path)}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
