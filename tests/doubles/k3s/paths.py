# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where k3s keeps its files, below its data directory and beside it."""

from __future__ import annotations

import os
from pathlib import Path

ETC = Path("/etc/rancher/k3s")
KUBECONFIG = ETC / "k3s.yaml"
NODE_PASSWORD = Path("/etc/rancher/node/password")


class Layout:
    """Of one data directory; nothing is made by looking at it."""

    def __init__(self, data: str = "") -> None:
        self.data = Path(data or "/var/lib/rancher/k3s")
        self.server = self.data / "server"
        self.agent = self.data / "agent"
        self.tls = self.server / "tls"
        self.credentials = self.server / "cred"
        self.database = self.server / "db"
        self.etcd = self.database / "etcd"
        self.sqlite = self.database / "state.db"
        self.snapshots = self.database / "snapshots"
        self.reset_flag = self.database / "reset-flag"
        self.token = self.server / "token"
        self.passwords = self.credentials / "passwd"
        self.encryption = self.credentials / "encryption-config.json"


def write(path: Path, content: str, mode: int = 0o600) -> None:
    """A file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(content)
    part.chmod(mode)
    part.replace(path)


def link(path: Path, target: Path) -> None:
    if path.is_symlink() and path.readlink() == target:
        return
    path.unlink(missing_ok=True)
    path.symlink_to(target)
