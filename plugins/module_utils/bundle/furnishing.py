# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Discs, firmware variables and TPM state, put where libvirt looks for them."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ..backends.libvirt.files import nvram_path, tpm_folder
from ..cloud_init.seed import seed_volume
from ..errors import InputError
from ..model import Vm
from .belongings import TPM_VERSIONS
from .manifest import MEDIUM, NVRAM, TPM, File
from .reading import Bundle

_PIECE = 2**20


@dataclass(frozen=True)
class Furnishing:
    """``places``: path on this host by path in the bundle; ``media``: by drive; ``nvram`` is empty for none."""

    places: dict[str, str] = field(default_factory=dict)
    media: dict[str, str] = field(default_factory=dict)
    nvram: str = ""
    tpm: str = ""

    def put(self, bundle: Bundle) -> None:
        """Copy them; their digests are known to be right by then."""
        for file in bundle.manifest.files:
            if file.path in self.places:
                _copy(bundle, file, self.places[file.path])

    def take_back(self) -> None:
        for path in self.places.values():
            with contextlib.suppress(OSError):
                Path(path).unlink()
        if self.tpm:
            shutil.rmtree(self.tpm, ignore_errors=True)


def plan_furnishing(bundle: Bundle, vm: Vm, folder: str, seed_drive: str, *, resumed: bool) -> Furnishing:
    """Where all of them go; InputError for what is in the way.

    :param folder: of a pool that holds files; empty where there is none
    :param seed_drive: the drive whose disc keeps the name by which the module vm knows it
    :param resumed: what is there may be of a run before
    """
    manifest, places, media = bundle.manifest, {}, {}
    for file in manifest.of(MEDIUM):
        if not folder:
            remedy = "map storage to a pool that holds files, or export the VM with media=none"
            raise InputError(f"the disc {file.path} has no pool of files to go to", option="storage", remedy=remedy)
        name = seed_volume(vm.name) if file.device == seed_drive else f"{vm.name}-{file.device}.iso"
        places[file.path] = media[file.device] = f"{folder}/{name}"
    nvram = ""
    for file in manifest.of(NVRAM):
        places[file.path] = nvram = nvram_path(vm.name)
    tpm = tpm_folder(vm.uuid) if manifest.of(TPM) else ""
    for file in manifest.of(TPM):
        if file.path.split("/")[0] not in TPM_VERSIONS or "/" not in file.path:
            raise InputError(f"the file {file.path} is no state of a TPM", remedy="export the VM again")
        places[file.path] = f"{tpm}/{file.path}"
    for path in places.values():
        if not resumed and Path(path).exists():
            remedy = "take it away if nobody needs it, or give the VM another name"
            raise InputError(f"the file {path} is there already", option="name", value=vm.name, remedy=remedy)
    return Furnishing(places, media, nvram, tpm)


def _copy(bundle: Bundle, file: File, target: str) -> None:
    place = bundle.place(file)
    partial = Path(f"{target}.partial")
    partial.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as out:
            for at in range(0, place.size, _PIECE):
                out.write(place.read(at, _PIECE))
            out.flush()
            os.fsync(out.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
