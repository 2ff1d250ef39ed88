# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role kvm_host leaves on a hypervisor: a second run, the ports, who is let in, and who can read the keys."""

from __future__ import annotations

import shlex
import socket

import pytest

from .lab import ADDRESSES, ROOT

PLAYBOOK = "playbooks/provision.yml"
HOSTS = sorted(ADDRESSES)
PKI = ROOT / "build" / "lab" / "pki"

# libvirt sends one byte, 1, to a client that it lets in, and closes the connection otherwise.
KNOCK = """
import socket, ssl, sys
address, authority, certificate, key = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
if certificate:
    context.load_cert_chain(certificate, key)
try:
    with context.wrap_socket(socket.create_connection((address, 16514), 5), server_hostname=address) as client:
        client.settimeout(5)
        print("let in" if client.recv(1) == b"\\x01" else "refused")
except (ssl.SSLError, ConnectionError):
    print("refused")
"""


def knock(lab, source, target, *, authority="/etc/pki/CA/cacert.pem", certificate="", key=""):
    """What libvirt on ``target`` says to a client on ``source`` with these files of ``source``."""
    arguments = [ADDRESSES[target], authority, certificate, key]
    return lab.run(source, shlex.join(["python3", "-c", KNOCK, *arguments])).strip()


def messages(told):
    return [
        str(result.get("msg", "")) + " ".join(str(item.get("msg", "")) for item in result.get("results", []))
        for play in told["plays"]
        for task in play["tasks"]
        for result in task["hosts"].values()
        if result.get("failed")
    ]


@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_another_run_changes_nothing(lab, check):
    told = lab.playbook(PLAYBOOK, check=check, diff=True)
    assert told["rc"] == 0, messages(told)
    assert {host: told["stats"][host]["changed"] for host in HOSTS} == dict.fromkeys(HOSTS, 0)


@pytest.mark.parametrize(
    ("mapped", "sentence"),
    [
        ({"storage": {"ssd": "vms", "slow": "tape"}}, "Site wrong maps to the pool tape, which lab-es-1 does not have"),
        ({"networks": {"public": "backbone"}}, "Site wrong maps to the network backbone, which lab-es-1 does not have"),
    ],
)
def test_a_mapping_to_what_is_not_there_is_refused_before_anything_is_touched(lab, mapped, sentence):
    # The console folder is something that the run would make, had it gone so far.
    folder = "/var/log/libvirt/never-made"
    extra = {"federation_site": {"name": "wrong", **mapped}, "kvm_host_console_dir": folder}
    told = lab.playbook(PLAYBOOK, extra=extra, limit="lab-es-1")
    assert told["rc"] != 0
    assert told["stats"]["lab-es-1"]["changed"] == 0
    assert any(sentence in message for message in messages(told)), messages(told)
    assert lab.run("lab-es-1", f"test -e {folder} || echo none").strip() == "none"


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (
            {"kvm_host_pools": [{"name": "vms", "path": "/srv/vms"}, {"name": "images", "path": "/srv/images"}]},
            "is there, but not at /srv/vms",
        ),
        ({"kvm_host_networks": [{"name": "public", "address": "10.9.9.1", "prefix": 24}]}, "is there, but is not nat with"),
        ({"kvm_host_networks": [{"name": "public", "mode": "bridge"}]}, "of mode bridge needs bridge"),
        ({"kvm_host_certificate_days": 20}, "must be below kvm_host_certificate_days"),
        ({"kvm_host_migration_ports": [49152]}, "give the first and the last port"),
    ],
)
def test_input_that_cannot_hold_is_refused(lab, extra, sentence):
    told = lab.playbook(PLAYBOOK, extra=extra, limit="lab-es-1")
    assert told["rc"] != 0
    assert told["stats"]["lab-es-1"]["changed"] == 0
    assert any(sentence in message for message in messages(told)), messages(told)


@pytest.mark.parametrize("host", HOSTS)
def test_nothing_listens_without_encryption(lab, host):
    with pytest.raises(OSError):
        socket.create_connection((ADDRESSES[host], 16509), timeout=5)
    assert lab.run(host, "systemctl is-enabled libvirtd-tcp.socket", check=False).strip() == "masked"


@pytest.mark.parametrize(("source", "target"), [("lab-es-1", "lab-de-1"), ("lab-de-1", "lab-es-1")])
def test_who_is_let_in(lab, source, target):
    libvirt = {"certificate": "/etc/pki/libvirt/clientcert.pem", "key": "/etc/pki/libvirt/private/clientkey.pem"}
    assert knock(lab, source, target, **libvirt) == "let in"
    assert knock(lab, source, target) == "refused"
    # What a guest that broke out of QEMU could read opens nothing.
    qemu = {"certificate": "/etc/pki/qemu/client-cert.pem", "key": "/etc/pki/qemu/client-key.pem"}
    assert knock(lab, source, target, **qemu) == "refused"


@pytest.mark.parametrize("host", HOSTS)
def test_a_hypervisor_is_reached_by_address_and_by_name(lab, host):
    other = next(name for name in HOSTS if name != host)
    for name in (ADDRESSES[other], other):
        assert lab.run(host, f"virsh --connect 'qemu+tls://{name}/system?no_tty=1' hostname").strip() == other


@pytest.mark.parametrize("host", HOSTS)
def test_keys_are_for_those_who_need_them(lab, host):
    seen = lab.run(host, "stat -L -c '%a %U %G %n' /etc/pki/libvirt/private/*.pem /etc/pki/qemu/*-key.pem").splitlines()
    assert seen == [
        "600 root root /etc/pki/libvirt/private/clientkey.pem",
        "600 root root /etc/pki/libvirt/private/serverkey.pem",
        "640 root libvirt-qemu /etc/pki/qemu/client-key.pem",
        "640 root libvirt-qemu /etc/pki/qemu/server-key.pem",
    ]
    as_qemu = "setpriv --reuid libvirt-qemu --regid libvirt-qemu --init-groups cat"
    assert "PRIVATE KEY" in lab.run(host, f"{as_qemu} /etc/pki/qemu/server-key.pem")
    assert lab.run(host, f"{as_qemu} /etc/pki/libvirt/private/serverkey.pem 2>/dev/null", check=False) == ""


def test_the_controllers_secrets_are_its_own():
    for folder in (PKI, PKI / "ca", PKI / "controller", PKI / "issued"):
        assert folder.stat().st_mode & 0o777 == 0o700
    keys = sorted(path.relative_to(PKI).as_posix() for path in PKI.rglob("*key*"))
    assert keys == ["ca/libvirt-key.pem", "ca/qemu-key.pem", "controller/clientkey.pem"]
    for key in keys:
        assert (PKI / key).stat().st_mode & 0o777 == 0o600


def test_hosts_have_identities_of_their_own(lab):
    uuids = {lab.run(host, "virsh capabilities | grep -m1 -o '<uuid>.*</uuid>'") for host in HOSTS}
    assert len(uuids) == len(HOSTS)


@pytest.mark.parametrize("host", HOSTS)
def test_the_guards_place_is_roots(lab, host):
    folders = ["/etc/libvirt/hooks/qemu.d", "/var/lib/virt8ra", "/var/lib/virt8ra/migrations", "/var/lib/virt8ra/owners"]
    seen = lab.run(host, "stat -c '%a %U:%G' " + " ".join(folders)).split("\n")[:4]
    assert seen == ["755 root:root", "755 root:root", "700 root:root", "700 root:root"]
