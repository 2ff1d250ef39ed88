# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that people read and edit: read whole, written at once or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from .errors import InputError


def read_text(path: str) -> str:
    """Empty where there is no such file; InputError where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", option="path", value=path, remedy="give a file of UTF-8 text") from error


def write_text(path: str, text: str) -> None:
    """With its folders, readable for everyone; InputError where that cannot be."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str, content: bytes) -> None:
    """As write_text does it."""
    whole = Path(path)
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=whole.parent, prefix=f".{whole.name}-")
    except OSError as error:
        raise InputError(f"cannot be written ({error})", option="path", value=path, remedy="give another path") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(partial).chmod(0o644)
        Path(partial).replace(whole)
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(partial).unlink()
        raise InputError(f"cannot be written ({error})", option="path", value=path, remedy="give another path") from error


def check_folder(path: str, option: str) -> None:
    """InputError where no file could be written into the folder, or where it cannot be made; nothing is made."""
    folder = Path(path)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"cannot be written ({folder} is no folder)", option=option, value=path, remedy="give another path")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"cannot be written ({folder} may not be)", option=option, value=path, remedy="give another path")
