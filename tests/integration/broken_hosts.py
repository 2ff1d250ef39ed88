# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults of the lab's hosts, each a context that takes it back: what compliance must find.

What a container cannot have of its own, its firmware and processor, is in a mount namespace of the one process that measures.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from .lab import ADDRESSES, ROOT, Lab

SYSTEM = "/tmp/t-system"
DMI = ("sys_vendor", "product_name", "product_serial", "board_vendor", "board_name", "bios_vendor", "bios_version", "bios_date")
# A network for documentation, on the host's own loopback.
ELSEWHERE = "192.0.2.1"
_PYTHON = f"""#!/bin/sh
exec unshare --mount --propagation private sh -c 'mount --bind {SYSTEM}/class /sys/class
mount --bind {SYSTEM}/vulnerabilities /sys/devices/system/cpu/vulnerabilities
exec /usr/bin/python3 "$@"' sh "$@"
"""
_SELF_CONNECTED = f"""
import socket, time
server = socket.create_server(("{ELSEWHERE}", 4321))
client = socket.create_connection(("{ELSEWHERE}", 4321))
accepted = server.accept()
time.sleep(3600)
"""
# struct utmp of a login: type 7, of a process, on a line, by an id, of a user, from a host; then session, time and address.
_LOGIN = """
import socket, struct, time
record = struct.pack("hi32s4s32s256shhiii4s12x20x", 7, 4242, b"pts/9", b"9", b"root", b"{address}", 0, 0, 0, int(time.time()), 0,
                     socket.inet_aton("{address}"))
open("/var/log/wtmp", "ab").write(record)
"""


@contextmanager
def system(lab: Lab, host: str) -> Iterator[str]:
    """A Python that sees firmware and a processor in which nothing is wrong; its path."""
    script = f"""set -e; mkdir -p {SYSTEM}/class/dmi/id {SYSTEM}/vulnerabilities; cp -a /sys/class/block {SYSTEM}/class/
for field in {" ".join(DMI)}; do echo lab > {SYSTEM}/class/dmi/id/$field; done
echo Not affected > {SYSTEM}/vulnerabilities/meltdown
printf %s {shlex.quote(_PYTHON)} > {SYSTEM}/python3; chmod 755 {SYSTEM}/python3"""
    lab.run(host, script)
    try:
        yield f"{SYSTEM}/python3"
    finally:
        lab.run(host, f"rm -rf {SYSTEM}")


@contextmanager
def written(lab: Lab, host: str, path: str, text: str, *, more: bool = False) -> Iterator[None]:
    """A file with this text, or with ``more`` text at its end; then it is as before, or not there."""
    lab.run(host, f"mkdir -p $(dirname {path}); [ ! -e {path} ] || cp -p {path} {path}.t-kept")
    lab.run(host, f"printf '%s\\n' {shlex.quote(text)} {'>>' if more else '>'} {path}")
    try:
        yield
    finally:
        lab.run(host, f"if [ -e {path}.t-kept ]; then mv {path}.t-kept {path}; else rm -f {path}; fi")


@contextmanager
def unit(lab: Lab, host: str, name: str, command: str, listens: int = 0) -> Iterator[None]:
    """A service that runs, and listens on a port if one is given."""
    lab.run(host, f"systemd-run --quiet --unit={name} --collect {command}")
    if listens:
        lab.run(host, f"for i in $(seq 300); do ss -Htln | grep -q ':{listens} ' && exit; sleep 0.2; done; exit 1")
    try:
        yield
    finally:
        lab.run(host, f"systemctl stop {name}", check=False)


@contextmanager
def connection(lab: Lab, host: str) -> Iterator[None]:
    """An established connection with ``ELSEWHERE``, which never leaves the host."""
    lab.run(host, f"ip address replace {ELSEWHERE}/32 dev lo")
    try:
        with unit(lab, host, "t-connected", f"python3 -c {shlex.quote(_SELF_CONNECTED)}", 4321):
            yield
    finally:
        lab.run(host, f"ip address delete {ELSEWHERE}/32 dev lo", check=False)


@contextmanager
def login(lab: Lab, host: str, address: str) -> Iterator[None]:
    """Somebody has logged in from this address."""
    lab.run(host, "cp -p /var/log/wtmp /var/log/wtmp.t-kept")
    try:
        lab.run(host, f"python3 -c {shlex.quote(_LOGIN.format(address=address))}")
        yield
    finally:
        lab.run(host, "mv /var/log/wtmp.t-kept /var/log/wtmp")


@contextmanager
def old(lab: Lab, host: str, folder: str) -> Iterator[None]:
    """A folder in which nothing was written for a month."""
    seconds = lab.run(host, f"stat -c %Y {folder}").strip()
    lab.run(host, f"touch -d '30 days ago' {folder}")
    try:
        yield
    finally:
        lab.run(host, f"touch -d @{seconds} {folder}")


@contextmanager
def domain(lab: Lab, host: str, name: str) -> Iterator[None]:
    """A VM that nobody declared, of a type and CPU that no other hypervisor need have."""
    shape = f"""<domain type="qemu"><name>{name}</name><memory>65536</memory><os><type machine="pc-q35-7.2">hvm</type></os>
<cpu mode="maximum"/></domain>"""
    with written(lab, host, f"/tmp/{name}.xml", shape):
        lab.run(host, f"virsh -q define /tmp/{name}.xml")
        try:
            yield
        finally:
            lab.run(host, f"virsh -q undefine {name}", check=False)


@contextmanager
def pool(lab: Lab, host: str, server: str) -> Iterator[None]:
    """A pool whose data another server has; it is not started."""
    lab.run(host, f"virsh -q pool-define-as t-far netfs --source-host {server} --source-path /srv --target /mnt")
    try:
        yield
    finally:
        lab.run(host, "virsh -q pool-undefine t-far", check=False)


@contextmanager
def short_certificate(lab: Lab, host: str) -> Iterator[None]:
    """libvirt's own certificate, good in all but that it ends in ten days."""
    pki, authority = "/etc/pki/libvirt", ROOT / "build/lab/pki/ca"
    reread = "virt-admin server-update-tls libvirtd"
    names = f"subjectAltName=DNS:{host},IP:{ADDRESSES[host]}"
    usage = "extendedKeyUsage=serverAuth,clientAuth"
    sign = f"""set -e; cd $(mktemp -d); cat > ca.pem
openssl req -new -key {pki}/private/serverkey.pem -subj '/O=virt8ra federation/OU=libvirt/CN={host}' -out asked.pem
printf '%s\\n' {names} {usage} keyUsage=critical,digitalSignature,keyEncipherment > ext
openssl x509 -req -in asked.pem -CA ca.pem -CAkey ca.pem -days 10 -extfile ext -out signed.pem 2> /dev/null
cp -p {pki}/servercert.pem {pki}/servercert.pem.t-kept; cat signed.pem > {pki}/servercert.pem; rm -rf $PWD; {reread}"""
    both = "".join((authority / f"libvirt-{part}.pem").read_text(encoding="utf-8") for part in ("key", "cert"))
    lab.run(host, sign, given=both)
    try:
        yield
    finally:
        lab.run(host, f"mv {pki}/servercert.pem.t-kept {pki}/servercert.pem; {reread}")
