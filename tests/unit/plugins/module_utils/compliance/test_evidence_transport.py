# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handshakes with real TLS servers, and qemu.conf as libvirt reads it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from datetime import datetime, timezone

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.host.reading import Host
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.host.tls import handshake, not_after
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.transport import migration_tls
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certificate(folder, ends):
    """A certificate of its own, as ``one.pem`` with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kvm1")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1000)
    builder = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=timezone.utc)).not_valid_after(ends)
    made = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{ends.year}.pem"
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path, made.public_bytes(serialization.Encoding.DER)


@contextlib.contextmanager
def server(path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _peer = listener.accept()
                    with contextlib.suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as secured:
                        secured.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_server_shows_version_and_end_of_its_certificate(tmp_path):
    path, _der = certificate(tmp_path, datetime(2049, 5, 6, 7, 8, 9, tzinfo=timezone.utc))
    with server(path) as port:
        shown = handshake("127.0.0.1", port, str(path))
    assert (shown["version"], shown["not_after"], shown["trusted"]) == ("TLSv1.3", "2049-05-06T07:08:09Z", True)
    assert shown["bits"] >= 128


def test_an_expired_certificate_is_shown_and_not_trusted(tmp_path):
    path, _der = certificate(tmp_path, datetime(2021, 1, 1, tzinfo=timezone.utc))
    with server(path) as port:
        shown = handshake("127.0.0.1", port, str(path))
    assert (shown["not_after"], shown["trusted"], shown["distrust"]) == ("2021-01-01T00:00:00Z", False, "certificate has expired")


@pytest.mark.parametrize("year", [2049, 2051])
def test_ends_in_both_kinds_of_time(tmp_path, year):
    ends = datetime(year, 1, 1, tzinfo=timezone.utc)
    assert not_after(certificate(tmp_path, ends)[1]) == f"{ends.year}-01-01T00:00:00Z"


@pytest.mark.parametrize("broken", [b"", b"0", b"0\x82", b"hello", b"0\x03\x02\x01\x01"])
def test_no_certificate(broken):
    with pytest.raises(BackendError, match="cannot be read"):
        not_after(broken)


def test_no_tls_where_nobody_listens():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        assert Host().listens("127.0.0.1", port) is False
        with pytest.raises(BackendError, match="made no TLS handshake"):
            handshake("127.0.0.1", port)


def test_a_port_that_is_open():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert Host().listens("127.0.0.1", listener.getsockname()[1]) is True


def test_what_is_not_set_follows_the_default():
    told = migration_tls(
        '#migrate_tls_force = 1\ndefault_tls_x509_verify = 0 # why\ndefault_tls_x509_cert_dir = "/pki"\nbackup_tls_x509_verify = 1\n'
    )
    assert told == {
        "migration": {"verify": False, "folder": "/pki", "forced": False},
        "backup": {"verify": True, "folder": "/pki"},
    }


def test_the_last_of_two_settings_counts():
    assert migration_tls("migrate_tls_force = 0\nmigrate_tls_force = 1\n")["migration"]["forced"] is True


def test_a_setting_that_is_no_switch():
    with pytest.raises(BackendError, match="neither 0 nor 1"):
        migration_tls("migrate_tls_x509_verify = 2\n")
