# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the option ``cloud_init`` says, and the files of a NoCloud disc that are made of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .network_config import check_network_config
from .shapes import Shape, choice, either, keys, list_of, mapping, mapping_of, matching, refuse, text
from .user_data import check_user_data, host_keys, public_key

BUSES = ("scsi", "sata")
_ROUNDS = 100_000
_DIGITS = 32
_SECRET = re.compile(r"passw|secret|token|private", re.IGNORECASE)
_SHORTEST = 4
# What YAML does not take as it stands, though JSON does: controls, other line breaks, half characters.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

_META_DATA: dict[str, Shape] = {
    "local-hostname": text,
    "hostname": text,
    "public-keys": either("a list of SSH public keys", text=public_key, items=list_of(public_key), mapping=mapping_of(text)),
    "availability-zone": text,
    "cloud-name": text,
    "dsmode": choice("local", "net", "disabled"),
    "instance-type": text,
    "region": text,
    "tags": mapping,
}


def _check_meta_data(value: Any, where: str) -> None:
    mapping(value, where)
    for key in ("instance-id", "instance_id"):
        if key in value:
            refuse("has an option of its own", f"{where}.{key}", "write it as cloud_init.instance_id")
    keys(_META_DATA)(value, where)


_KEYS: dict[str, Shape] = {
    "user_data": check_user_data,
    "network_config": check_network_config,
    "meta_data": _check_meta_data,
    "ssh_host_keys": host_keys,
    "bus": choice(*BUSES),
    "instance_id": matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", "an instance ID", "use letters, digits, dots, dashes and underscores"
    ),
}


@dataclass(frozen=True)
class CloudInit:
    """What was asked for; without any of it (``empty``) there shall be no disc. It holds secrets: it is never to be shown.

    ``bus`` is where a drive goes that is not there yet: Debian's kernel for clouds finds none on SATA.
    """

    user_data: Mapping[str, Any]
    network_config: Mapping[str, Any]
    meta_data: Mapping[str, Any]
    ssh_host_keys: Mapping[str, str]
    instance_id: str = ""
    bus: str = BUSES[0]

    @classmethod
    def from_dict(cls, data: Any, where: str = "cloud_init") -> CloudInit:
        """InputError with the path of the key that is wrong, and never its value."""
        mapping(data, where)
        given = {key: value for key, value in data.items() if value is not None}
        keys(_KEYS)(given, where)
        read = cls(
            user_data=given.get("user_data", {}),
            network_config=_unwrapped(given.get("network_config", {})),
            meta_data=given.get("meta_data", {}),
            ssh_host_keys=given.get("ssh_host_keys", {}),
            instance_id=given.get("instance_id", ""),
            bus=given.get("bus", BUSES[0]),
        )
        if read.empty and given:
            refuse("says nothing to the guest", where, "give user_data too, or an empty mapping to take the disc away")
        if read.ssh_host_keys and "ssh_keys" in read.user_data:
            refuse("is there beside ssh_host_keys", f"{where}.user_data.ssh_keys", "leave out the one or the other")
        return read

    @property
    def empty(self) -> bool:
        return not (self.user_data or self.network_config or self.meta_data or self.ssh_host_keys or self.instance_id)

    def files(self, name: str, uuid: str) -> dict[str, bytes]:
        """The files of the disc by name; the same input gives the same bytes.

        :param name: of the VM, which becomes the guest's host name unless it was given another
        :param uuid: of the VM: the instance ID, so that cloud-init takes the guest for new only when it is
        """
        files = {"meta-data": _yaml({"instance-id": self.instance_id or uuid, **self._hostname(name), **self.meta_data})}
        user_data = {**self.user_data, **({"ssh_keys": self.ssh_host_keys} if self.ssh_host_keys else {})}
        files["user-data"] = b"#cloud-config\n" + _yaml(user_data)
        if self.network_config:
            files["network-config"] = _yaml(self.network_config)
        return files

    def _hostname(self, name: str) -> dict[str, str]:
        if {"hostname", "fqdn"} & set(self.user_data) or {"hostname", "local-hostname"} & set(self.meta_data):
            return {}
        return {"local-hostname": re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")}

    def digest(self, name: str) -> str:
        """What was asked for, as hexadecimal digits that can be shown: to guess a weak password by them takes long."""
        content = self.files(name, "")
        told = b"".join(b"%s %d\n%s" % (file.encode(), len(data), data) for file, data in sorted(content.items()))
        return hashlib.pbkdf2_hmac("sha256", told, f"cloud-init of {name}".encode(), _ROUNDS).hex()[:_DIGITS]


def seed_volume(vm: str) -> str:
    """The name of the volume with a VM's disc."""
    return f"{vm}-cloud-init.iso"


def secrets(value: Any, key: str = "") -> set[str]:
    """The strings of the option that are secrets by their key, or by being more than one line long."""
    if isinstance(value, Mapping):
        return {found for name, item in value.items() for found in secrets(item, str(name))}
    if isinstance(value, (list, tuple)):
        return {found for item in value for found in secrets(item, key)}
    is_secret = isinstance(value, str) and len(value) >= _SHORTEST and (_SECRET.search(key) is not None or "\n" in value.strip())
    return {value} if is_secret else set()


def _unwrapped(network_config: Mapping[str, Any]) -> Mapping[str, Any]:
    inner: Mapping[str, Any] = network_config.get("network", network_config)
    return inner


def _yaml(value: Mapping[str, Any]) -> bytes:
    """JSON, which is YAML as well and needs no library at the hypervisor."""
    shown = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return (_UNPRINTABLE.sub(_escaped, shown) + "\n").encode()


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"
