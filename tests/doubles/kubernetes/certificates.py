# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster's own certificates, made with the ``openssl`` command, and the kubeconfigs that carry them."""

from __future__ import annotations

import base64
import ipaddress
import json
import secrets
import ssl
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path

DAYS = "3650"


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


def _key(path: Path) -> None:
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(path))
    path.chmod(0o600)


def issue(folder: Path, name: str, subject: str, extensions: str, days: str = DAYS) -> None:
    """``<name>.crt`` and ``<name>.key`` in the folder, by the authority there."""
    key, request, certificate = (folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
    _key(key)
    _openssl("req", "-new", "-key", str(key), "-subj", subject, "-out", str(request))
    wanted = folder / f"{name}.ext"
    wanted.write_text(extensions)
    authority = ["-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-set_serial", str(secrets.randbits(63))]
    _openssl("x509", "-req", "-in", str(request), *authority, "-days", days, "-extfile", str(wanted), "-out", str(certificate))
    request.unlink()
    wanted.unlink()


def make(folder: Path, name: str, sans: Sequence[str]) -> None:
    """An authority, a server's and an administrator's certificate; those that are there stay."""
    if (folder / "admin.crt").exists():
        return
    _key(folder / "ca.key")
    _openssl(
        *("req", "-x509", "-new", "-key", str(folder / "ca.key"), "-days", DAYS, "-subj", f"/CN={name}-ca"),
        *("-addext", "keyUsage=critical,keyCertSign,digitalSignature", "-out", str(folder / "ca.crt")),
    )
    names = []
    for san in ["localhost", "kubernetes", "kubernetes.default.svc", "127.0.0.1", *sans]:
        try:
            names.append(f"IP:{ipaddress.ip_address(san)}")
        except ValueError:
            names.append(f"DNS:{san}")
    issue(folder, "server", "/CN=kube-apiserver", f"subjectAltName={','.join(names)}\nextendedKeyUsage=serverAuth\n")
    issue(folder, "admin", "/O=system:masters/CN=system:admin", "extendedKeyUsage=clientAuth\n")


def context(folder: Path, oldest: str = "TLSv1.2") -> ssl.SSLContext:
    """``oldest``: the oldest version of TLS that it agrees to."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if oldest < "TLSv1.2":
        # Above level 0, OpenSSL does not use the signatures of old versions.
        made.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version = ssl.TLSVersion[oldest.replace(".", "_")]
    made.load_cert_chain(folder / "server.crt", folder / "server.key")
    made.load_verify_locations(folder / "ca.crt")
    made.verify_mode = ssl.CERT_OPTIONAL
    return made


def _embedded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def kubeconfig(folder: Path, path: Path, name: str, server: str, user: str, token: str = "") -> None:
    """A kubeconfig as JSON, which is YAML too: with a token, or with the administrator's certificate."""
    credentials: dict[str, str] = {"token": token}
    if not token:
        credentials = {
            "client-certificate-data": _embedded(folder / f"{user}.crt"),
            "client-key-data": _embedded(folder / f"{user}.key"),
        }
    cluster = {"server": server, "certificate-authority-data": _embedded(folder / "ca.crt")}
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": f"{name}-{user}", "user": credentials}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-{user}"}}],
        "current-context": name,
    }
    path.touch(0o600)
    path.write_text(json.dumps(whole, indent=2))
