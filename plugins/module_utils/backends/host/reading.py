# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host itself: its files, and what its own commands say. Nothing is changed, no network is used."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ...errors import BackendError, NotFoundError

_LARGEST = 64 << 20
# The same words in every locale, and system folders also where PATH lacks them.
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class Host:
    """:param timeout: seconds that a command may take"""

    def __init__(self, timeout: float = 20.0) -> None:
        self._timeout = timeout

    def read(self, path: str) -> str:
        """The text of a file; NotFoundError where there is none, BackendError where it may not be read."""
        try:
            with Path(path).open("rb") as file:
                return file.read(_LARGEST).decode("utf-8", "replace")
        except FileNotFoundError:
            raise NotFoundError(f"there is no {path}") from None
        except OSError as error:
            raise BackendError(f"{path} cannot be read ({error.strerror})") from None

    def names(self, folder: str) -> list[str]:
        """What is in a folder, sorted; NotFoundError where there is none."""
        try:
            return sorted(entry.name for entry in Path(folder).iterdir())
        except FileNotFoundError:
            raise NotFoundError(f"there is no {folder}") from None
        except OSError as error:
            raise BackendError(f"{folder} cannot be read ({error.strerror})") from None

    def real(self, path: str) -> str:
        """The path without symbolic links; of what is not there, the path itself."""
        return str(Path(path).resolve())

    def changed(self, path: str) -> float:
        """Seconds since 1970 when the file was written last; NotFoundError where there is none."""
        try:
            return Path(path).stat().st_mtime
        except OSError:
            raise NotFoundError(f"there is no {path}") from None

    def run(self, *command: str, accepts: Sequence[int] = (0,)) -> str:
        """What a command wrote; BackendError with its last line where its status is not one of ``accepts``."""
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=self._timeout, env=_ENVIRONMENT, check=False
            )
        except FileNotFoundError:
            raise NotFoundError(f"there is no command {command[0]}") from None
        except subprocess.TimeoutExpired:
            raise BackendError(f"{' '.join(command)} did not end within {self._timeout:g} s") from None
        except OSError as error:
            raise BackendError(f"{' '.join(command)} cannot be run ({error.strerror})") from None
        if done.returncode not in accepts:
            last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            raise BackendError(f"{' '.join(command)} failed ({last})")
        return done.stdout

    def listens(self, address: str, port: int, timeout: float = 3.0) -> bool:
        """Whether a connection is accepted; BackendError where neither yes nor no came."""
        try:
            with socket.create_connection((address, port), timeout):
                return True
        except ConnectionRefusedError:
            return False
        except OSError as error:
            raise BackendError(f"{address} port {port} neither accepted nor refused a connection ({error})") from None
