# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster's authorities and the certificates of one server, where k3s has them, made with the ``openssl`` command."""

from __future__ import annotations

import ipaddress
import re
import secrets
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from . import log
from .paths import Layout, write

AUTHORITIES = {
    "server-ca": "k3s-server-ca",
    "client-ca": "k3s-client-ca",
    "request-header-ca": "k3s-request-header-ca",
    "etcd/server-ca": "etcd-server-ca",
    "etcd/peer-ca": "etcd-peer-ca",
}
# Which certificates ``k3s certificate rotate`` makes anew, by service.
LEAVES = {
    "serving-kube-apiserver": ("server-ca", "/CN=kube-apiserver", "serverAuth", "api-server"),
    "client-admin": ("client-ca", "/O=system:masters/CN=system:admin", "clientAuth", "admin"),
    "client-auth-proxy": ("request-header-ca", "/CN=system:auth-proxy", "clientAuth", "auth-proxy"),
    "etcd/peer-server-client": ("etcd/peer-ca", "/CN=etcd-peer", "serverAuth,clientAuth", "etcd"),
    "etcd/server-client": ("etcd/server-ca", "/CN=etcd-server", "serverAuth,clientAuth", "etcd"),
}
_YEAR = "365"


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=False)
    if done.returncode:
        log.fatal(f"openssl {arguments[0]}: {done.stderr.decode().strip()}")
    return done.stdout


def _key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    write(path, key.decode())


def make_authorities(layout: Layout) -> None:
    """Those that are missing."""
    for name, subject in AUTHORITIES.items():
        key, certificate = layout.tls / f"{name}.key", layout.tls / f"{name}.crt"
        if certificate.exists():
            continue
        _key(key)
        stamped = f"/CN={subject}@{int(time.time())}"
        wanted = ("-days", "3650", "-subj", stamped, "-addext", "keyUsage=critical,keyCertSign,digitalSignature")
        write(certificate, _openssl("req", "-x509", "-new", "-key", str(key), *wanted).decode(), 0o644)


def sign(authority: Path, request: bytes, extensions: str, subject: str = "") -> str:
    """A certificate for a request, in PEM; ``authority`` without its ending. ``subject`` takes the place of the request's."""
    wanted = authority.with_name(f".{secrets.token_hex(4)}.ext")
    write(wanted, extensions + "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nbasicConstraints=CA:FALSE\n")
    signer = ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-set_serial", str(secrets.randbits(63))]
    signer += ["-subj", subject] if subject else []
    try:
        return _openssl("x509", "-req", *signer, "-days", _YEAR, "-extfile", str(wanted), given=request).decode()
    finally:
        wanted.unlink()


def request(key: Path, subject: str) -> bytes:
    """A request for a certificate; the key is made when it is missing."""
    if not key.exists():
        _key(key)
    return _openssl("req", "-new", "-key", str(key), "-subj", subject)


def alternatives(names: Iterable[str]) -> str:
    told = []
    for name in dict.fromkeys(names):
        try:
            told.append(f"IP:{ipaddress.ip_address(name)}")
        except ValueError:
            told.append(f"DNS:{name}")
    return f"subjectAltName={','.join(told)}\n"


def names_of(certificate: Path) -> set[str]:
    told = _openssl("x509", "-in", str(certificate), "-noout", "-ext", "subjectAltName").decode()
    names = set(re.findall(r"DNS:([^,\s]+)", told))
    return names | {str(ipaddress.ip_address(address)) for address in re.findall(r"IP Address:([^,\s]+)", told)}


def make_leaves(layout: Layout, names: list[str]) -> None:
    """Those that are missing, and the API server's when it lacks one of the names."""
    regenerate = layout.tls / "dynamic-cert-regenerate"
    for name, (authority, subject, usage, _service) in LEAVES.items():
        key, certificate = layout.tls / f"{name}.key", layout.tls / f"{name}.crt"
        if certificate.exists() and (name != "serving-kube-apiserver" or set(names) <= names_of(certificate)):
            continue
        extensions = f"extendedKeyUsage={usage}\n" + (alternatives(names) if "server" in usage else "")
        write(certificate, sign(layout.tls / authority, request(key, subject), extensions), 0o644)
    regenerate.unlink(missing_ok=True)


def details(certificate: Path) -> tuple[str, str]:
    """``(common name, end of validity as openssl writes it)``."""
    told = _openssl("x509", "-in", str(certificate), "-noout", "-subject", "-enddate", "-nameopt", "sep_multiline").decode()
    name = re.search(r"CN\s*=\s*(\S+)", told)
    end = re.search(r"notAfter=(.*)", told)
    return (name[1] if name else "", end[1].strip() if end else "")


def rotate(layout: Layout, services: set[str]) -> Path:
    """Leaves aside, to be made anew at the next start; where the old ones were copied to."""
    backup = (layout.server if layout.tls.exists() else layout.agent) / f"tls-{int(time.time())}"
    if layout.tls.exists():
        shutil.copytree(layout.tls, backup, dirs_exist_ok=True)
    backup.mkdir(parents=True, exist_ok=True, mode=0o700)
    leaves = [layout.tls / name for name, leaf in LEAVES.items() if not services or leaf[3] in services]
    if not services or "kubelet" in services:
        kubelet = [layout.agent / "client-kubelet", layout.agent / "serving-kubelet"]
        for each in kubelet:
            for end in (".crt", ".key"):
                if each.with_name(each.name + end).exists():
                    shutil.copy2(each.with_name(each.name + end), backup)
        leaves += kubelet
    for leaf in leaves:
        for end in (".crt", ".key"):
            leaf.with_name(leaf.name + end).unlink(missing_ok=True)
    return backup


def serving(layout: Layout) -> ssl.SSLContext:
    """Of port 6443: certificates of clients are looked at when they are shown."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(layout.tls / "serving-kube-apiserver.crt", layout.tls / "serving-kube-apiserver.key")
    made.load_verify_locations(layout.tls / "client-ca.crt")
    made.load_verify_locations(layout.tls / "request-header-ca.crt")
    made.verify_mode = ssl.CERT_OPTIONAL
    return made


def trusting(authority: Path, certificate: Path | None = None) -> ssl.SSLContext:
    """Of a client, which shows a certificate when it has one."""
    made = ssl.create_default_context(cafile=str(authority))
    if certificate and certificate.exists():
        made.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return made


def peer(layout: Layout, side: ssl.Purpose) -> ssl.SSLContext:
    """Between members of etcd: both show a certificate of the authority for peers, whatever their addresses are."""
    made = ssl.create_default_context(side, cafile=str(layout.tls / "etcd/peer-ca.crt"))
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_cert_chain(layout.tls / "etcd/peer-server-client.crt", layout.tls / "etcd/peer-server-client.key")
    return made
