# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of etcd: made, listed, pruned, and restored into a new database of one member. S3 and the schedule are not played."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from pathlib import Path
from typing import Any

from . import etcd, log, tokens
from .datastore import State
from .paths import Layout, write

_KIND = "snapshot of a k3s stand-in's etcd"


class SnapshotError(Exception):
    """One sentence."""


def _digest(state: State) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def save(layout: Layout, state: State, name: str, folder: str, compress: bool, node: str) -> dict[str, Any]:
    """``{"name", "path"}`` of the new file; 0600, as k3s makes it."""
    directory = Path(folder) if folder else layout.snapshots
    if not folder:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not directory.is_dir():
        raise SnapshotError(f"failed to get etcd-snapshot-dir: stat {directory}: no such file or directory")
    path = directory / f"{name}-{node}-{int(time.time())}"
    content = json.dumps({"kind": _KIND, "sha256": _digest(state), "state": state})
    if compress:
        path = path.with_name(path.name + ".zip")
        path.touch(0o600)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.stem, content)
    else:
        write(path, content)
    return {"name": path.name, "path": str(path)}


def listed(layout: Layout, folder: str = "") -> list[Path]:
    """Oldest first."""
    directory = Path(folder) if folder else layout.snapshots
    found = [path for path in directory.glob("*") if path.is_file()] if directory.is_dir() else []
    return sorted(found, key=lambda path: (_stamp(path), path.name))


def _stamp(path: Path) -> int:
    last = path.name.rsplit("-", 1)[-1].split(".")[0]
    return int(last) if last.isdigit() else int(path.stat().st_mtime)


def created(path: Path) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_stamp(path)))


def prune(layout: Layout, folder: str, prefix: str, keep: int) -> list[str]:
    """Names of those removed: the oldest of the prefix, beyond ``keep``."""
    found = [path for path in listed(layout, folder) if path.name.startswith(prefix + "-")]
    gone = found[: max(0, len(found) - keep)]
    for path in gone:
        path.unlink()
    return [path.name for path in gone]


def read(path: Path) -> State:
    """SnapshotError for a file that is none of ours, or not whole."""
    if not path.exists():
        raise SnapshotError(f"etcd: snapshot path does not exist: {path}")
    if path.is_dir():
        raise SnapshotError(f"etcd: snapshot path must be a file, not a directory: {path}")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = json.loads(archive.read(archive.namelist()[0]))
        else:
            content = json.loads(path.read_bytes())
        state: State = content["state"]
        whole = content["kind"] == _KIND and content["sha256"] == _digest(state)
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise SnapshotError(f"etcd: failed to restore snapshot {path}: snapshot file integrity check failed")
    return state


def reset(layout: Layout, state: State, node: str, address: str) -> None:
    """A database of this node alone with that state; the one that was there is put aside."""
    if layout.etcd.exists():
        layout.etcd.rename(layout.database / f"etcd-old-{int(time.time())}")
    name = etcd.named(layout.etcd, node, anew=True)
    state["members"] = [{"name": name, "address": address, "learner": False}]
    etcd.save(layout.etcd, {"term": 1, "voted": "", "index": 1, "entry_term": 1, "state": state})
    write(layout.reset_flag, "")
    log.info(
        "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. "
        "Backup and delete ${datadir}/server/db on each peer etcd server and rejoin the nodes"
    )


def opened(state: State, password: str) -> dict[str, str]:
    """The bootstrap files in a state; TokenError when the token is another one."""
    if not state["bootstrap"]:
        return {}
    files: dict[str, str] = tokens.unseal(password, state["bootstrap"])
    return files
