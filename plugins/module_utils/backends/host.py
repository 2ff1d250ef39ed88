# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host where a module runs, as it is read and never changed: commands, files and its own ports."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..errors import BackendError, NotFoundError, UnreachableError

_PATIENCE = 20
_PORT_PATIENCE = 3
_SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Host:
    """Commands are lists without a shell and only read. Paths are absolute."""

    def run(self, command: list[str], *, allowed: tuple[int, ...] = (0,)) -> str:
        """What the command writes. NotFoundError when it is not there, BackendError when it ends with a code that is not ``allowed``."""
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": _SBIN}
        try:
            ended = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False, env=environment)
        except FileNotFoundError:
            raise NotFoundError(f"{command[0]} is not there", remedy="install it on the host") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BackendError(f"{' '.join(command)} gave nothing: {error}") from None
        if ended.returncode not in allowed:
            told = ended.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
            raise BackendError(f"{' '.join(command)} ended with {ended.returncode}: {told[-1]}")
        return ended.stdout.decode(errors="replace")

    def run_json(self, command: list[str]) -> Any:
        """What the command writes as JSON."""
        try:
            return json.loads(self.run(command))
        except ValueError:
            raise BackendError(f"{' '.join(command)} wrote no JSON") from None

    def text(self, path: str) -> str:
        """A file's text. NotFoundError for none, BackendError for one that cannot be read."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            raise NotFoundError(f"{path} is not there") from None
        except OSError as error:
            raise BackendError(f"{path} cannot be read: {error.strerror}") from None

    def data(self, path: str) -> bytes:
        """A file's bytes; errors as for ``text``."""
        try:
            return Path(path).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"{path} is not there") from None
        except OSError as error:
            raise BackendError(f"{path} cannot be read: {error.strerror}") from None

    def names(self, path: str) -> list[str]:
        """What is in a folder, sorted. NotFoundError for none."""
        try:
            return sorted(one.name for one in Path(path).iterdir())
        except FileNotFoundError:
            raise NotFoundError(f"{path} is not there") from None
        except OSError as error:
            raise BackendError(f"{path} cannot be read: {error.strerror}") from None

    def modified(self, path: str) -> float:
        """When the file was written, in seconds since 1970."""
        try:
            return Path(path).stat().st_mtime
        except FileNotFoundError:
            raise NotFoundError(f"{path} is not there") from None
        except OSError as error:
            raise BackendError(f"{path} cannot be read: {error.strerror}") from None

    def accepts(self, address: str, port: int) -> bool:
        """Whether something takes a TCP connection; UnreachableError when neither yes nor no came."""
        try:
            socket.create_connection((address, port), timeout=_PORT_PATIENCE).close()
        except ConnectionRefusedError:
            return False
        except OSError as error:
            raise UnreachableError(f"{address}:{port} neither took nor refused a connection: {error}") from None
        return True

    def handshake(self, address: str, port: int, authority: str, own: tuple[str, str] | None = None) -> dict[str, Any]:
        """``{version, cipher, bits, not_after}`` of a TLS server whose certificate ``authority`` (a file) vouches for.

        :param own: files of the client's certificate and key, for servers that ask for one
        """
        try:
            context = ssl.create_default_context(cafile=authority)
            context.check_hostname = False  # It is asked at its own address, which its certificate need not name.
            if own:
                context.load_cert_chain(*own)
            with socket.create_connection((address, port), timeout=_PORT_PATIENCE) as plain, context.wrap_socket(plain) as secured:
                return _spoken(secured)
        except OSError as error:
            raise UnreachableError(f"no TLS handshake with {address}:{port}: {error}") from None


def _spoken(secured: ssl.SSLSocket) -> dict[str, Any]:
    cipher = secured.cipher() or ("", "", 0)
    certificate: dict[str, Any] = dict(secured.getpeercert() or {})
    expiry = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    return {"version": secured.version() or "", "cipher": cipher[0], "bits": cipher[2], "not_after": iso_time(expiry)}


def iso_time(seconds: float) -> str:
    """``2026-11-25T12:00:00Z`` of seconds since 1970."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
