# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers with namespaces of their own for mounts and processes, on a root folder that has busybox.

Only root can make them. All is done with the C library between fork and exec, so no tool but busybox is needed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_NEWNS, _NEWPID, _NEWUTS = 0x00020000, 0x20000000, 0x04000000
_RDONLY, _REMOUNT, _BIND, _REC, _PRIVATE, _NOSUID = 1, 32, 4096, 16384, 1 << 18, 2
_SET_PDEATHSIG, _CAPBSET_DROP = 1, 24
# What a container runtime leaves to root: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service,
# net_raw, sys_chroot, mknod, audit_write, setfcap.
_LEFT = frozenset((0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31))
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Mount:
    source: Path
    path: str
    read_only: bool = False


@dataclass(frozen=True)
class Identity:
    """Whom a container's processes run as."""

    user: int = 0
    group: int = 0
    groups: tuple[int, ...] = ()
    privileged: bool = False


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    _check(
        _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode() or None),
        f"mount {target}",
    )


def unmount(target: str) -> None:
    """Lazily: who still uses it keeps it."""
    _check(_libc.umount2(target.encode(), 2), f"umount {target}")


def build_root(folder: Path, busybox: Path, extended_attributes: bool) -> None:
    """``bin`` and ``lib`` of an image: busybox by all its names, and getfattr and setfattr with their libraries where wanted."""
    binaries = folder / "bin"
    if binaries.exists():
        return
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    (new / "bin").mkdir(parents=True)
    (new / "lib").mkdir()
    shutil.copy2(busybox, new / "bin" / "busybox")
    names = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if name != "busybox":
            (new / "bin" / name).symlink_to("busybox")
    for tool in ("getfattr", "setfattr") if extended_attributes else ():
        found = shutil.which(tool)
        if not found:
            continue
        (new / "bin" / tool).unlink(missing_ok=True)
        shutil.copy2(found, new / "bin" / tool)
        listed = subprocess.run(["ldd", found], capture_output=True, text=True, check=False).stdout
        for word in listed.split():
            if word.startswith("/"):
                shutil.copy2(word, new / "lib" / Path(word).name)
    new.rename(folder)


def _enter_root(root: Path, image: Path, mounts: Sequence[Mount]) -> None:
    mount("none", "/", "", _REC | _PRIVATE)
    mount(str(root), str(root), "", _BIND)
    for name in ("bin", "lib"):
        mount(str(image / name), str(root / name), "", _BIND)
        mount("none", str(root / name), "", _REMOUNT | _BIND | _RDONLY)
    mount("proc", str(root / "proc"), "proc", _NOSUID)
    for name in ("null", "zero", "full", "random", "urandom"):
        mount(f"/dev/{name}", str(root / "dev" / name), "", _BIND)
    for each in mounts:
        target = str(root) + each.path
        mount(str(each.source), target, "", _BIND)
        if each.read_only:
            mount("none", target, "", _REMOUNT | _BIND | _RDONLY)
    os.chroot(root)
    os.chdir("/")


def _become(identity: Identity, folder: str) -> None:
    if not identity.privileged:
        for capability in range(64):
            if capability not in _LEFT:
                _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups(identity.groups)
    os.setgid(identity.group)
    os.setuid(identity.user)
    _libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.chdir(folder)


def _split(note: Callable[[int], None]) -> None:
    """Go on in a child, which is in the new PID namespace; the parent waits for it and ends as it ends."""
    child = os.fork()
    if child == 0:
        return
    _libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    note(child)
    # Streams belong to the child alone: at its end, and not at ours, they end.
    os.closerange(0, 65536)
    while True:
        try:
            _pid, status = os.waitpid(child, 0)
            break
        except InterruptedError:
            continue
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def prepare(root: Path, mounts: Sequence[Mount]) -> None:
    """The folders of a container, and the places of its mounts."""
    for name in ("bin", "lib", "proc", "dev", "tmp", "etc", "root", "var", "run", "usr"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for link, target in (("lib64", "lib"), ("sbin", "bin"), ("usr/bin", "../bin"), ("usr/sbin", "../bin")):
        if not (root / link).is_symlink():
            (root / link).symlink_to(target)
    for name in ("null", "zero", "full", "random", "urandom"):
        (root / "dev" / name).touch()
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (root / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    for each in mounts:
        (root / each.path.lstrip("/")).mkdir(parents=True, exist_ok=True)


def first_process(
    root: Path, image: Path, mounts: Sequence[Mount], identity: Identity, folder: str, noted: Path
) -> Callable[[], None]:
    """What a child does before its exec to become a container's first process; its PID goes into ``noted``."""

    def enter() -> None:
        os.setsid()
        _check(_libc.unshare(_NEWNS | _NEWPID | _NEWUTS), "unshare")
        _split(lambda child: _write(noted, str(child)))
        _enter_root(root, image, mounts)
        _become(identity, folder)

    return enter


def _write(path: Path, text: str) -> None:
    new = f"{path}.new"
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(handle, text.encode())
    os.close(handle)
    Path(new).rename(path)


def another_process(process: int, identity: Identity, folder: str) -> Callable[[], None]:
    """The same for a further process of the container that ``process`` is the first of."""

    def enter() -> None:
        os.setsid()
        names = [os.open(f"/proc/{process}/ns/{name}", os.O_RDONLY) for name in ("pid", "uts", "mnt")]
        root = os.open(f"/proc/{process}/root", os.O_RDONLY)
        for name in names:
            _check(_libc.setns(name, 0), "setns")
        os.fchdir(root)
        os.chroot(".")
        _split(lambda child: None)
        _become(identity, folder)

    return enter


def environment(given: Mapping[str, str], host: str) -> dict[str, str]:
    return {"PATH": PATH, "HOSTNAME": host, "HOME": "/root", "KUBERNETES_SERVICE_HOST": "10.43.0.1", **given}
