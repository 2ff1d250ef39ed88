# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What belongs to a VM and is no disk of it: discs in its drives, its firmware's variables, the state of its TPM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..backends.facts import SourceFacts
from ..backends.libvirt import files
from ..backends.libvirt.migration_end import MigrationEnd


def carry_media(source: MigrationEnd, facts: SourceFacts, media: Mapping[str, str]) -> None:
    """Fetch the discs, each for those who may read it at the source; ``media`` maps drives to their paths here, empty for what is left behind."""
    for drive, path in sorted(media.items()):
        if path:
            files.fetch(source.connection, facts.media[drive], path, mode=None)


def remove_media(media: Mapping[str, str]) -> None:
    """Take away what ``carry_media`` fetched."""
    for path in media.values():
        if path:
            Path(path).unlink(missing_ok=True)


def carry_state(source: MigrationEnd, facts: SourceFacts) -> None:
    """Fetch the firmware's variables and the TPM's state; the VM must be off or held paused, so that they stand still."""
    if facts.nvram:
        files.fetch(source.connection, facts.nvram, facts.nvram)
    if facts.tpm:
        state = files.tpm_folder(source.uuid)
        for version in files.folders_in(source.connection, state):
            folder = f"{state}/{version}"
            for name in files.names_in(source.connection, folder):
                # A lock is of the process that holds it.
                if not name.startswith("."):
                    files.fetch(source.connection, f"{folder}/{name}", f"{folder}/{name}")
