# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images that disks of this hypervisor can be made from: those of the library by name and version, others by their volume."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import InputError
from ...image_records import STATE_PATH, Record, Records
from ...images import LIBRARY_STORAGE, split_reference
from ...model import Site
from . import volumes
from .registry import POOL as REGISTRY_POOL


@dataclass(frozen=True)
class LocalImage:
    """A volume of a pool here; ``record``, ``path`` and ``state_path`` only where it is of the library."""

    pool: str
    volume: str
    record: Record | None = None
    path: str = ""
    state_path: str = STATE_PATH


def find_in_library(conn: Any, site: Site, reference: str, option: str) -> LocalImage:
    """The image of that name and version, or the newest of that name; InputError when the library here has none.

    The pool of the logical storage ``images`` comes before others.
    """
    if urlsplit(conn.getURI()).hostname is not None:
        remedy = "run the module on the hypervisor, or write <logical storage>/<volume>"
        raise InputError("is known on the hypervisor itself only", option=option, value=reference, remedy=remedy)
    name, version = split_reference(reference)
    folders = {pool: path for path, pool in volumes.pool_paths(conn).items()}
    state = str(Path(folders[REGISTRY_POOL]).parent) if REGISTRY_POOL in folders else STATE_PATH
    there: list[str] = []
    for logical in sorted(site.storage, key=lambda one: (one != LIBRARY_STORAGE, one)):
        pool = site.storage[logical]
        for record in Records(state, pool).all():
            there.append(f"{record.name}:{record.version}")
            if record.name == name and version in ("", record.version) and pool in folders:
                return _usable(
                    LocalImage(pool, record.volume, record, f"{folders[pool]}/{record.volume}", state), reference, option
                )
    what = f"is not in the library of this hypervisor, which has {', '.join(sorted(set(there))) or 'no image'}"
    raise InputError(what, option=option, value=reference, remedy="bring it with the module image or the playbook images")


def _usable(image: LocalImage, reference: str, option: str) -> LocalImage:
    if image.record is not None and image.record.is_of(Path(image.path)):
        return image
    what = f"is gone from the pool {image.pool} or was written since its digest was checked"
    raise InputError(what, option=option, value=reference, remedy="bring it again with the module image or the playbook images")
