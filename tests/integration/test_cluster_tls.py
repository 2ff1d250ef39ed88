# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a server speaks TLS is seen by handshakes with it: one that is strict, one that is not, and what is none."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("kubernetes")

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.api_tls import api_tls
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, UnreachableError


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate in one file; it ends after two days."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=t"]
    subprocess.run([*command, "-keyout", f"{path}.key", "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_bytes(Path(f"{path}.key").read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@contextlib.contextmanager
def serving(certificate: Path, oldest: ssl.TLSVersion) -> Iterator[str]:
    """The URL of a server that shakes hands, and says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = oldest
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _peer = listening.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as stream:
                    stream.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_a_server_that_is_strict(certificate):
    with serving(certificate, ssl.TLSVersion.TLSv1_2) as url:
        found = api_tls(url)
    assert found["version"] == "TLSv1.3" and found["old_accepted"] == []
    end = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-enddate", "-dateopt", "iso_8601"], check=True, capture_output=True
    )
    assert end.stdout.decode().strip() == f"notAfter={found['expires'].replace('T', ' ')}"


def test_a_server_that_agrees_to_an_old_version(certificate):
    with serving(certificate, ssl.TLSVersion.TLSv1) as url:
        found = api_tls(url)
    assert set(found["old_accepted"]) | set(found["old_untried"]) == {"TLSv1", "TLSv1.1"}
    if not ssl.HAS_TLSv1_1:
        pytest.skip("the TLS library here has no TLS 1.1")
    assert "TLSv1.1" in found["old_accepted"]


def test_what_is_no_server(certificate):
    with serving(certificate, ssl.TLSVersion.TLSv1_2) as url:
        pass
    with pytest.raises(UnreachableError, match="no TLS handshake"):
        api_tls(url, timeout=2)
    with pytest.raises(BackendError, match="not reached by TLS"):
        api_tls("http://127.0.0.1:1")
