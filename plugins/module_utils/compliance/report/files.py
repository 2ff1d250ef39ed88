# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The four files of a report on disk, perhaps signed: made before any is written, and written only where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...files import write_bytes
from .junit import junit
from .lines import lines
from .oscal import assessment_results
from .page import html
from .signing import manifest, read_key, sign

NAMES = ("findings.json", "assessment-results.json", "junit.xml", "index.html")
_SIGNED = ("manifest.json", *(f"{name}.sig" for name in (*NAMES, "manifest.json")))


@dataclass(frozen=True)
class Written:
    """``paths``: all files of the report. ``changed``: those of them that were, or in check mode would be, written or removed."""

    paths: tuple[str, ...]
    changed: tuple[str, ...]


def texts(report: Mapping[str, Any]) -> dict[str, str]:
    """The four files by their names."""
    made = (lines(report, 2), assessment_results(report), junit(report), html(report))
    return dict(zip(NAMES, made))


def write_all(
    report: Mapping[str, Any],
    folder: str,
    signing_key: str | None = None,
    passphrase: str | None = None,
    check_mode: bool = False,
) -> Written:
    """Writes what differs. InputError names ``path`` where the folder cannot be written, ``signing_key`` where that is no key.

    :param signing_key: path of an Ed25519 private key in PEM. Without one, signatures of an earlier report are removed:
        they would not be of this one.
    """
    key = read_key(signing_key, passphrase) if signing_key else None
    made = texts(report)
    contents = {name: text.encode() for name, text in made.items()}
    if key is not None:
        told = manifest(report, made)
        contents.update({"manifest.json": told.encode(), **sign({**made, "manifest.json": told}, key)})
    whole = Path(folder)
    changed = [name for name, content in contents.items() if _read(whole / name) != content]
    stale = [] if key is not None or not changed else [name for name in _SIGNED if (whole / name).exists()]
    if not check_mode:
        # Before the others change: no signature is to stand beside what it is not of.
        for name in stale:
            _remove(whole / name)
        for name in changed:
            write_bytes(str(whole / name), contents[name])
    return Written(tuple(str(whole / name) for name in contents), tuple(str(whole / name) for name in (*changed, *stale)))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        remedy = "give another folder"
        raise InputError(f"cannot be read ({error.strerror})", option="path", value=str(path), remedy=remedy) from None


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        remedy = "remove it by hand"
        raise InputError(f"cannot be removed ({error.strerror})", option="path", value=str(path), remedy=remedy) from None
