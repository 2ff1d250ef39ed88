# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes what a stopped k3s left on a host, and prints ``{"removed": [...], "left": [...]}``: what went, and what could not go.

k3s leaves its pods running when it stops: their processes, mounts, networks and packet filter rules are ended first. Nothing is deleted
through a mount: what cannot be unmounted, such as a volume of another machine, stays, and is told of. ``--check`` only tells what there is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

ETC = Path("/etc/rancher")
LINKS = ("kubectl", "crictl", "ctr")
UNITS = (
    "/etc/systemd/system/k3s.service",
    "/etc/systemd/system/k3s-agent.service",
    "/etc/init.d/k3s",
    "/etc/init.d/k3s-agent",
    "/run/systemd/system/k3s.service.d",
    "/run/systemd/system/k3s-agent.service.d",
)
STATE = ("/run/k3s", "/run/flannel", "/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers")
SETTINGS = ("/etc/modules-load.d/virt8ra-k3s.conf", "/etc/sysctl.d/90-virt8ra-k3s.conf")
LOGS = ("/var/log/k3s.log", "/var/log/k3s-agent.log")
INTERFACES = ("cni0", "flannel.1", "flannel-v6.1", "flannel-wg", "flannel-wg-v6", "kube-ipvs0")
RULES = ("KUBE-", "CNI-", "flannel", "FLANNEL-")


class Cleaning:
    def __init__(self, data: Path, binaries: Path, check: bool) -> None:
        self.data = data
        self.binaries = binaries
        self.check = check
        self.removed: list[str] = []

    def run(self) -> None:
        self._end_processes()
        for point in self.mounts():
            self._do(f"mount {point}", partial(_call, "umount", point))
        self._networks()
        for path in self.files():
            self._do(str(path), partial(_remove, path))
        for path in (ETC, Path("/var/lib/rancher")):
            if not self.check and path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    def _do(self, what: str, act: Callable[[], None]) -> None:
        self.removed.append(what)
        if not self.check:
            act()

    def processes(self) -> list[int]:
        """Those that run from the data directory, and all below them."""
        parents: dict[int, int] = {}
        ours: set[int] = set()
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            with suppress(OSError):  # it ended, or is the kernel's
                told = (process / "stat").read_text(encoding="utf-8", errors="replace")
                parents[int(process.name)] = int(told.rsplit(")", 1)[1].split()[1])
                if str((process / "exe").readlink()).startswith(f"{self.data}/"):
                    ours.add(int(process.name))
        grown = True
        while grown:
            below = {pid for pid, parent in parents.items() if parent in ours} - ours
            ours |= below
            grown = bool(below)
        return sorted(ours - {os.getpid(), 1})

    def _end_processes(self) -> None:
        self.removed += [f"process {pid}" for pid in self.processes()]
        end = time.monotonic() + 30
        while not self.check and (pids := self.processes()) and time.monotonic() < end:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def mounts(self) -> list[str]:
        """The deepest first."""
        roots = (f"{self.data}/", "/run/k3s/", "/var/lib/kubelet/", "/run/netns/cni-")
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
        points = [line.split(" ")[1].encode().decode("unicode_escape") for line in lines]
        return sorted((point for point in points if point.startswith(roots)), reverse=True)

    def interfaces(self) -> list[str]:
        links = Path("/sys/class/net")
        bridged = [path.parent.name for path in links.glob("*/master") if path.resolve().name == "cni0"]
        return bridged + [name for name in INTERFACES if (links / name).exists()]

    def _networks(self) -> None:
        for path in Path("/run/netns").glob("cni-*"):
            self._do(f"network namespace {path.name}", partial(_call, "ip", "netns", "delete", path.name))
        for name in self.interfaces():
            self._do(f"interface {name}", partial(_call, "ip", "link", "delete", name))
        for tool in ("iptables", "ip6tables"):
            self._rules(tool)

    def _rules(self, tool: str) -> None:
        """By the host's own tool, else k3s's."""
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", f"{self.data}/data/current/bin/aux"])
        save, restore = shutil.which(f"{tool}-save", path=path), shutil.which(f"{tool}-restore", path=path)
        if save is None or restore is None:
            return
        told = subprocess.run([save], capture_output=True, text=True, check=False)
        rules = told.stdout.splitlines(keepends=True)
        kept = [rule for rule in rules if not any(word in rule for word in RULES)]
        if told.returncode == 0 and kept != rules:
            self._do(f"rules of {tool}", partial(_call, restore, given="".join(kept)))

    def files(self) -> list[Path]:
        """Those that are there."""
        links = [path for path in (self.binaries / name for name in LINKS) if path.is_symlink() and path.readlink().name == "k3s"]
        k3s = [self.binaries / "k3s", *self.binaries.glob("k3s.v*")]
        named = [*UNITS, *STATE, *SETTINGS, *LOGS]
        paths = [*links, *k3s, self.data, ETC / "k3s", ETC / "node", *map(Path, named)]
        return [path for path in paths if os.path.lexists(path) and not _bare(path)]

    def left(self) -> list[str]:
        running = [f"process {pid}" for pid in self.processes()]
        mounted = [f"mount {point}" for point in self.mounts()]
        return [*running, *mounted, *(f"interface {name}" for name in self.interfaces()), *map(str, self.files())]


def _bare(path: Path) -> bool:
    """A file system of its own, which stays, and holds nothing."""
    return path.is_mount() and all(entry.name == "lost+found" for entry in path.iterdir())


def _call(*argv: str, given: str = "") -> None:
    done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{' '.join(argv)}: {done.stderr.strip()}", file=sys.stderr)


def _remove(path: Path) -> None:
    """A file, or a folder with all on its own file system; a mount point itself stays."""
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode):
        _try(path.unlink)
        return
    seen = []
    for name, folders, files in os.walk(path):
        folder = Path(name)
        seen.append(folder)
        there = {each: (folder / each).lstat() for each in folders}
        folders[:] = [each for each, its in there.items() if stat.S_ISDIR(its.st_mode) and its.st_dev == about.st_dev]
        for each in [*files, *(each for each, its in there.items() if stat.S_ISLNK(its.st_mode))]:
            _try((folder / each).unlink)
    for folder in reversed(seen):
        _try(folder.rmdir)


def _try(act: Callable[[], None]) -> None:
    try:
        act()
    except OSError as error:
        print(error, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--bin-dir", type=Path, required=True)
    given = parser.parse_args()
    cleaning = Cleaning(given.data_dir, given.bin_dir, given.check)
    cleaning.run()
    print(json.dumps({"removed": cleaning.removed, "left": [] if given.check else cleaning.left()}))


if __name__ == "__main__":
    main()
