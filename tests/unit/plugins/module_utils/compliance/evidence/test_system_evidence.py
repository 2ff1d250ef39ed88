# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of the system below the hypervisor, of files and answers as a Debian host has them."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timezone

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence import system
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, NotFoundError

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
INDEXES = (
    "http://deb.debian.org/debian\tbookworm\tyes\tPackages\n"
    "http://deb.debian.org/debian\tbookworm\tyes\tTranslations\n"
    "http://deb.debian.org/debian\tbookworm\tyes\tPackages\n"
    "https://other.example/apt\tstable\tno\tPackages\n"
)


class Host:
    def __init__(self, files=None, told=""):
        self.files, self.told = files or {}, told

    def run(self, _command):
        return self.told

    def text(self, path):
        return self.data(path).decode()

    def data(self, path):
        if path not in self.files:
            raise NotFoundError(f"{path} is not there")
        return self.files[path]

    def names(self, path):
        return [name.rsplit("/", 1)[1] for name in self.files if name.startswith(path)]


def record(kind, user, address, at):
    packed = ipaddress.ip_address(address).packed if address else b""
    return system._RECORD.pack(kind, 1, b"pts/0", b"1", user, b"", 0, 0, 1, int(at.timestamp()), 0, packed, b"")


def test_a_record_has_the_size_that_glibc_gives_it():
    assert system._RECORD.size == 384


def test_logins_over_the_network_of_the_last_days():
    wtmp = b"".join(
        [
            record(7, b"root", "192.0.2.7", datetime(2026, 11, 20, tzinfo=timezone.utc)),
            record(7, b"ops", "192.0.2.7", datetime(2026, 11, 24, tzinfo=timezone.utc)),
            record(7, b"six", "2001:db8::1", datetime(2026, 11, 24, tzinfo=timezone.utc)),
            record(7, b"old", "203.0.113.1", datetime(2026, 9, 1, tzinfo=timezone.utc)),
            record(7, b"console", "", datetime(2026, 11, 24, tzinfo=timezone.utc)),
            record(8, b"", "203.0.113.2", datetime(2026, 11, 24, tzinfo=timezone.utc)),
            b"half a record",
        ]
    )
    told = system.logins(Host({system.LOGINS: wtmp}), NOW)
    assert told["sources"] == [
        {"address": "192.0.2.7", "users": ["ops", "root"], "last": "2026-11-24T00:00:00Z"},
        {"address": "2001:db8::1", "users": ["six"], "last": "2026-11-24T00:00:00Z"},
    ]


def test_repositories_of_packages_once_each():
    assert system.repositories(Host(told=INDEXES))["repositories"] == [
        {"site": "http://deb.debian.org/debian", "release": "bookworm", "trusted": True},
        {"site": "https://other.example/apt", "release": "stable", "trusted": False},
    ]
    with pytest.raises(BackendError, match="no index"):
        system.repositories(Host())


def test_name_servers():
    assert system.name_servers(Host({system.RESOLVER: b"search x\n# nameserver 1\nnameserver 192.0.2.53\n"})) == {
        "servers": ["192.0.2.53"]
    }
    with pytest.raises(NotFoundError):
        system.name_servers(Host({system.RESOLVER: b"search x\n"}))


def test_hardware_that_tells_half():
    told = system.hardware(Host({f"{system.DMI}/sys_vendor": b"Kontron\n"}))
    assert (told["sys_vendor"], told["bios_version"]) == ("Kontron", "")
