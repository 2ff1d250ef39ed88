# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What belongs to a VM and is no disk of it: discs in its drives, its firmware's variables, the state of its TPM; here and in a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..backends.facts import SourceFacts
from ..backends.libvirt.files import tpm_folder
from ..errors import InputError
from .manifest import MEDIUM, NVRAM, TPM

CLOUD_INIT, ALL, NONE = "cloud-init", "all", "none"
MEDIA = (CLOUD_INIT, ALL, NONE)
NVRAM_FILE = "nvram.fd"
TPM_VERSIONS = ("tpm1.2", "tpm2")
_LABEL_AT, _LABEL = 32808, 32  # of an ISO 9660 file system
_CLOUD_INIT_LABELS = ("CIDATA", "CONFIG-2")


@dataclass(frozen=True)
class Belonging:
    """A file of this host and its place in the bundle; ``device`` is the drive's."""

    source: str
    path: str
    kind: str
    format: str
    device: str = ""


def found(facts: SourceFacts, media: str) -> Iterator[Belonging]:
    """What goes along."""
    for drive, path in sorted(facts.media.items()):
        if media == ALL or (media == CLOUD_INIT and _is_cloud_init(path)):
            yield Belonging(path, f"{drive}.iso", MEDIUM, "iso", drive)
    # A VM that never ran has none yet.
    if facts.nvram and Path(facts.nvram).is_file():
        yield Belonging(facts.nvram, NVRAM_FILE, NVRAM, "binary")
    if facts.tpm:
        for version in TPM_VERSIONS:
            for state in sorted(Path(tpm_folder(facts.vm.uuid), version).glob("*")):
                # A lock is of the process that holds it.
                if state.is_file() and not state.name.startswith("."):
                    yield Belonging(str(state), f"{version}/{state.name}", TPM, "binary")


def size(facts: SourceFacts, media: str) -> int:
    """Bytes of all of them."""
    return sum(Path(one.source).stat().st_size for one in found(facts, media))


def _is_cloud_init(path: str) -> bool:
    try:
        with Path(path).open("rb") as disc:
            disc.seek(_LABEL_AT)
            return disc.read(_LABEL).decode("ascii", "replace").strip(" \0").upper() in _CLOUD_INIT_LABELS
    except OSError as error:
        remedy = "take the disc out, or use media=none"
        raise InputError(
            f"the disc {path} cannot be read ({error.strerror})", option="media", value=CLOUD_INIT, remedy=remedy
        ) from error
