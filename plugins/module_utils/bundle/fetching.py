# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bundle brought from another hypervisor through libvirt under TLS, file by file; never through the controller."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Callable

from ..backends.libvirt import files
from ..errors import InputError, NotFoundError
from .manifest import NAME, SUMS, Manifest

Report = Callable[[str, dict[str, Any]], None]


def fetch_bundle(connect: Callable[..., Any], uri: str, path: str, report: Report, *, check: bool) -> bool:
    """Whether it is here now. A bundle of that path that is here already is taken as it is; its digests tell what it is worth.

    Files that came over whole in a run before are not fetched again.
    """
    whole = Path(path)
    if whole.exists():
        return True
    if check:
        return False
    if not whole.parent.is_dir():
        raise InputError(f"the folder {whole.parent} is not there", option="path", value=path, remedy="make it first")
    with contextlib.closing(connect(uri)) as connection:
        if _is_folder(connection, whole):
            _fetch_folder(connection, whole, report)
        else:
            report("fetching", {})
            files.fetch(connection, path, path)
    return True


def _is_folder(connection: Any, path: Path) -> bool:
    try:
        return path.name in files.folders_in(connection, str(path.parent))
    except NotFoundError as error:
        raise InputError(f"is not there ({error.what})", option="path", value=str(path), remedy="export the VM first") from error


def _fetch_folder(connection: Any, path: Path, report: Report) -> None:
    partial = path.with_name(f".{path.name}.fetching")
    partial.mkdir(mode=0o700, exist_ok=True)
    # Always anew: it tells what the others have to be.
    files.fetch(connection, f"{path}/{NAME}", f"{partial}/{NAME}")
    manifest = Manifest.from_text((partial / NAME).read_text(encoding="utf-8", errors="replace"))
    total, done = sum(file.size for file in manifest.files), 0
    for file in manifest.files:
        report("fetching", {"bytes": done, "total_bytes": total})
        here = partial / file.path
        if not here.is_file() or here.stat().st_size != file.size:
            here.parent.mkdir(mode=0o700, exist_ok=True)
            files.fetch(connection, f"{path}/{file.path}", str(here))
        done += file.size
    files.fetch(connection, f"{path}/{SUMS}", f"{partial}/{SUMS}")
    partial.rename(path)
