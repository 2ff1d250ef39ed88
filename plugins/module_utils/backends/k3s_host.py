# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files and answers of a k3s server, read on its own host as root; nothing is ever changed.

k3s has no library for what it knows of itself: its own command is asked, with JSON as its answer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import plain_yaml
from ..errors import BackendError, NotFoundError

try:
    import yaml

    HAS_YAML = True
except ImportError:
    HAS_YAML = False

CONFIG = "/etc/rancher/k3s/config.yaml"
REGISTRIES = "/etc/rancher/k3s/registries.yaml"
BINARY = "/usr/local/bin/k3s"
_SECONDS = 60
_TAIL = 1 << 20


@dataclass(frozen=True)
class K3sHost:
    """``root``: where the host's files are; ``binary``: k3s as it is called; ``data_dir``: as its command line names it, empty for none."""

    root: Path = Path("/")
    binary: str = BINARY
    data_dir: str = ""

    def check_server(self, data_dir: str) -> None:
        """NotFoundError where no k3s server is installed."""
        remedy = "declare the role of the node as it is, or name k3s_binary and k3s_data_dir"
        if shutil.which(self.binary) is None:
            raise NotFoundError(f"this is no k3s server, as {self.binary} is not there", remedy=remedy)
        if not self._at(f"{data_dir}/server").is_dir():
            raise NotFoundError(f"this is no k3s server, as {data_dir}/server is not there", remedy=remedy)

    def document(self, path: str) -> Any:
        """A YAML file's content; None where there is no such file. BackendError for one that cannot be read."""
        text = self._text(path)
        if text is None:
            return None
        if not HAS_YAML:
            return _plain(text, path)
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            # Of the text itself nothing is shown: there may be secrets in it.
            at = getattr(error, "problem_mark", None)
            where = "" if at is None else f" in line {at.line + 1}"
            raise BackendError(f"{path} is no YAML{where}", remedy="mend the file") from None

    def config_files(self, path: str = CONFIG) -> list[tuple[str, Any]]:
        """``(path, content)`` of the configuration file and of its drop-ins, in the order in which k3s reads them."""
        folder = self._at(f"{path}.d")
        names = sorted(each.name for each in folder.glob("*") if each.suffix in (".yaml", ".yml")) if folder.is_dir() else []
        paths = [path, *(f"{path}.d/{name}" for name in names)]
        return [(one, content) for one, content in ((one, self.document(one)) for one in paths) if content is not None]

    def encryption(self, data_dir: str) -> dict[str, Any]:
        """What ``k3s secrets-encrypt status`` tells, its keys in small letters."""
        told = self._ask(["secrets-encrypt", "status", "--output", "json", "--data-dir", data_dir])
        if not isinstance(told, dict):
            raise BackendError("k3s secrets-encrypt status told nothing that can be read", remedy="run it by hand on the server")
        return {str(key).lower(): value for key, value in told.items()}

    def snapshots(self, data_dir: str, folder: str = "") -> tuple[str, list[Any]]:
        """How they were found, and the snapshots of etcd: as k3s lists them, else the files in the folder, in the same form."""
        asked = ["etcd-snapshot", "list", "--output", "json"]
        try:
            told = self._ask([*asked, "--data-dir", data_dir])
            if isinstance(told, dict):
                return f"k3s {' '.join(asked)}", list(told.get("items") or [])
        except BackendError:
            pass
        place = folder or f"{data_dir}/server/db/snapshots"
        return f"files in {place}", self._snapshot_files(place)

    def _snapshot_files(self, place: str) -> list[Any]:
        folder = self._at(place)
        found = sorted(each for each in folder.iterdir() if each.is_file()) if folder.is_dir() else []
        return [
            {
                "spec": {"snapshotName": each.name, "location": f"file://{place}/{each.name}"},
                "status": {"size": str(each.stat().st_size), "creationTime": _written(each.stat().st_mtime), "readyToUse": True},
            }
            for each in found
        ]

    def last_line(self, path: str) -> str | None:
        """The last whole line of a file, of its last MiB; None where there is no file, empty where there is no line."""
        file = self._at(path)
        try:
            with file.open("rb") as stream:
                stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL))
                lines = stream.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from error
        return lines[-1].decode("utf-8", "replace") if lines else ""

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _text(self, path: str) -> str | None:
        try:
            return self._at(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from error

    def _ask(self, arguments: Sequence[str]) -> Any:
        said = f"k3s {' '.join(arguments)}"
        try:
            done = subprocess.run(
                [self.binary, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
            )
        except FileNotFoundError:
            raise NotFoundError(f"{self.binary} is not there", remedy="use k3s: true on a k3s server only") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BackendError(f"{said} did not answer ({type(error).__name__})", remedy="look into the server's log") from error
        if done.returncode:
            last = " ".join(done.stderr.decode("utf-8", "replace").split())[-200:]
            raise BackendError(f"{said} failed ({last or f'exit code {done.returncode}'})", remedy="run it by hand on the server")
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise BackendError(f"the answer of {said} is not JSON", remedy="run it by hand on the server") from None


def _plain(text: str, path: str) -> Any:
    """Servers need not have PyYAML, and k3s' files seldom need it."""
    try:
        return plain_yaml.read(text)
    except plain_yaml.NotPlain as error:
        what = f"{path} has in {error} what cannot be read without PyYAML"
        raise BackendError(what, remedy="install python3-yaml on the server") from None


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unreadable(path: str, error: Exception) -> BackendError:
    why = getattr(error, "strerror", None) or type(error).__name__
    return BackendError(f"{path} cannot be read ({why})", remedy="run with become: true")
