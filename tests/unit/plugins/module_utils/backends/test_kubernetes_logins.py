# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubeconfigs that can and that cannot be used, and how long one is patient; no server is asked."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import tempfile
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytest.importorskip("kubernetes")

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.certificates import not_after
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import ClusterAccess
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes import sdk
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.kubeconfig import read_login
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.patience import Patience
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError, UnreachableError

TOKEN = "t0psecret"


def document(**user: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "es",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1/"}}],
        "users": [{"name": "u", "user": user or {"token": TOKEN}}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("es", "de")],
    }


@pytest.fixture
def written(tmp_path: Path):
    def write(content: Any) -> ClusterAccess:
        path = tmp_path / "kubeconfig"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return ClusterAccess(str(path), option="source_kubeconfig")

    return write


def certificate(end: datetime) -> dict[str, str]:
    """A client certificate of its own that ends at that moment."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "u")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, datetime(2020, 1, 1), end)
    made = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return {
        "client-certificate-data": base64.b64encode(made).decode(),
        "client-key-data": base64.b64encode(secret).decode(),
    }


def test_who_is_asked_and_as_whom(written) -> None:
    login = read_login(written(document()))
    assert (login.server, login.context) == ("https://127.0.0.1:1", "es")
    assert {name.lower(): value for name, value in login.headers().items()} == {"authorization": f"Bearer {TOKEN}"}
    assert TOKEN not in repr(login)


def test_files_beside_the_kubeconfig(written, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    login = read_login(written(document(tokenFile="token")))
    assert login.headers()["authorization"] == f"Bearer {TOKEN}"


def test_a_credential_plugin(written, tmp_path: Path) -> None:
    said = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": TOKEN}}
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(said)}\nEND\n")
    plugin.chmod(0o700)
    asked = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin", "interactiveMode": "Never"}
    assert read_login(written(document(exec=asked))).headers()["authorization"] == f"Bearer {TOKEN}"


def test_many_read_one_kubeconfig_at_once(written) -> None:
    access = written(document(**certificate(datetime(2099, 2, 3, 4, 5, 6))))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(login.tls for login in pool.map(lambda _n: read_login(access), range(64)))


def test_a_context_that_is_not_there_is_told_with_those_that_are(written) -> None:
    access = written(document())
    with pytest.raises(InputError) as error:
        read_login(ClusterAccess(access.kubeconfig, "fr", option="source_kubeconfig"))
    assert str(error.value) == f"source_context='fr': is not a context of {access.kubeconfig}; use one of: es, de"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is not a kubeconfig"),
        ("- just\n- a list\n", "is not a kubeconfig"),
        ("token: t0psecret: x\n", "is not YAML, see its line 1"),
        ({**document(), "current-context": ""}, "has no current context; name a context, one of: es, de"),
        ({**document(), "clusters": []}, "has no c in its clusters"),
        ({**document(), "clusters": [{"name": "c", "cluster": {}}]}, "has no address of a server in its context es"),
        (document(**{"client-certificate": "/nowhere/c.crt"}), "names the file /nowhere/c.crt, which does not exist"),
        (document(**{"client-certificate-data": "!", "client-key-data": TOKEN}), "cannot be used as a kubeconfig"),
        (document(exec={"apiVersion": "client.authentication.k8s.io/v1", "command": "/nowhere/plugin"}), "gave no credentials"),
        ({**document(), "users": [{"user": {"token": TOKEN}}]}, "cannot be used as a kubeconfig"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used(written, content: Any, told: str) -> None:
    access = written(content)
    with pytest.raises(InputError) as error:
        read_login(access)
    assert str(error.value).startswith(f"source_kubeconfig={access.kubeconfig!r}: ") and told in str(error.value)
    assert TOKEN not in str(error.value)


def test_no_file_at_all(tmp_path: Path) -> None:
    for path in (str(tmp_path / "none"), str(tmp_path), ""):
        with pytest.raises(InputError, match="is not a file; name a kubeconfig file"):
            read_login(ClusterAccess(path))


def test_an_expired_client_certificate_is_told_with_its_date(written) -> None:
    access = written(document(**certificate(datetime(2021, 2, 3, 4, 5, 6))))
    with pytest.raises(InputError, match="its client certificate expired on 2021-02-03 at 04:05:06 UTC; fetch a new kubeconfig"):
        read_login(access)


@pytest.mark.parametrize("year", [2049, 2050, 2099])
def test_a_certificate_in_date_leaves_no_file(written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    """From 2050 on, certificates write their dates in another form."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    login = read_login(written(document(**certificate(datetime(year, 2, 3, 4, 5, 6)))))
    assert login.tls is not None
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_certificate_has_no_end(pem: str) -> None:
    assert not_after(pem) is None


def test_a_missing_library_is_told(written, monkeypatch: pytest.MonkeyPatch) -> None:
    access = written(document())
    monkeypatch.setattr(sdk, "sdk", None)
    with pytest.raises(UnreachableError, match="needs the Kubernetes library for Python, which is not installed here; install"):
        read_login(access)


def test_patience_ends() -> None:
    waits: list[float] = []

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    patience = Patience(0.0, Clock())
    assert not patience.tried and not patience.pause() and patience.tried
    patience = Patience(1000.0, Clock())
    assert patience.pause() and patience.pause(7.0) and waits[-1] >= 7.0
    assert not patience.pause(2000.0)
    assert waits[0] < 0.2


def test_leaving_ends_all_waiting() -> None:
    leaving = threading.Event()
    leaving.set()
    assert not Patience(1000.0, leaving).pause(500.0)


@pytest.mark.parametrize(
    ("code", "body", "passes"),
    [
        (429, {}, True),
        (503, {}, True),
        (500, {"message": "etcdserver: leader changed"}, True),
        (404, {}, False),
        (409, {}, False),
        (422, {}, False),
    ],
)
def test_what_passes(code: int, body: dict[str, Any], passes: bool) -> None:
    patience = Patience(10.0, threading.Event())
    assert [patience.passes(code, body) for _try in range(9)] == [passes] * 9


def test_an_internal_fault_is_asked_again_only_a_few_times() -> None:
    patience = Patience(10.0, threading.Event())
    assert [patience.passes(500, {"message": "a webhook is down"}) for _try in range(5)] == [True, True, True, False, False]
