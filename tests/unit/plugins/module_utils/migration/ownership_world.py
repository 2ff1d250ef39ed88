# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two hypervisors of a test's own, with the registry and the owner guard as they are: what tests of ownership play with."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import libvirt
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import metadata
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.registry import Registry
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Observed, Owner

HOOK = Path(__file__).parents[5] / "roles" / "kvm_host" / "files" / "owner_guard.py"
_spec = importlib.util.spec_from_file_location("owner_guard", HOOK)
guard = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(guard)

UUID = "0c721ee7-6ba0-4ee9-968e-302d4521b545"


class Crash(BaseException):
    """The worker was killed."""


def fault(code, text):
    error = libvirt.libvirtError(text)
    error.err = (code, 0, text, 2, "", "", "", 0, 0)
    return error


class Pool:
    """libvirt's pool of a registry, over a folder."""

    def __init__(self, folder, tick):
        self.folder, self.tick = folder, tick

    def isActive(self):
        return True

    def refresh(self, _flags):
        pass

    def listVolumes(self):
        return [path.name for path in self.folder.iterdir()]

    def createXML(self, xml):
        path = self.folder / ET.fromstring(xml).findtext("name")
        self.tick()
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            raise fault(libvirt.VIR_ERR_STORAGE_VOL_EXIST, "exists") from None
        self.tick()
        return Volume(path, self.tick)

    def storageVolLookupByName(self, name):
        if not (self.folder / name).exists():
            raise fault(libvirt.VIR_ERR_NO_STORAGE_VOL, "no such volume")
        return Volume(self.folder / name, self.tick)


class Volume:
    def __init__(self, path, tick):
        self.path, self.tick = path, tick

    def delete(self, _flags):
        self.tick()
        self.path.unlink()
        self.tick()

    def upload(self, stream, *_range):
        stream.finish = lambda: (self.path.write_bytes(stream.data), self.tick())

    def download(self, stream, *_range):
        stream.data = self.path.read_bytes()


class Stream:
    data = b""

    def send(self, data):
        self.data += data
        return len(data)

    def recv(self, _size):
        data, self.data = self.data, b""
        return data

    def finish(self):
        pass


class Host:
    """An end of the migration, its power switch and its guard; ``state`` is the VM's."""

    def __init__(self, name, folder, tick, state):
        self.name = self.hypervisor = name
        self.uuid = UUID
        self.tick = tick
        self.state = state
        self.wrote = False
        self.works = True
        self.payloads = {"owner": Owner("a", 1).to_dict()} if state != "absent" else {}
        folder.mkdir()
        self.folder = folder
        pool = Pool(folder, tick)
        self.end = self.power = self
        self.connection = SimpleNamespace(storagePoolLookupByName=lambda _name: pool, newStream=Stream)
        self.registry = Registry(self.connection, name)

    # The guard.
    def check(self, operation="prepare"):
        root = ET.Element("domain")
        ET.SubElement(root, "uuid").text = UUID
        for kind, payload in self.payloads.items():
            metadata.write(root, kind, payload)
        try:
            guard.judge(guard.Registry(self.folder), self.name, root, operation)
        except guard.Refused as reason:
            raise BackendError(str(reason)) from reason

    # As MigrationEnd.
    def observe(self):
        return Observed(self.state)

    def find(self):
        return None if self.state == "absent" else self

    def read_metadata(self, kind):
        return self.payloads.get(kind) if self.state != "absent" else None

    def write_metadata(self, kind, payload):
        if self.state == "absent":
            raise BackendError("no such VM")
        self.tick()
        self.payloads[kind] = payload
        self.tick()

    def set_autostart(self, _wanted):
        self.tick()

    def remove(self):
        self.tick()
        self.state, self.payloads = "absent", {}
        self.tick()

    # As Power.
    def stop(self, _how):
        self.tick()
        self.state = "stopped"
        self.tick()

    def hold(self):
        self.tick()
        if self.state == "stopped":
            self.check()
            self.state, self.wrote = "paused", False
        self.tick()

    def release_held(self):
        self.tick()
        if self.state == "running" or self.wrote:
            raise BackendError("it was let run")
        if self.state == "paused":
            self.state = "stopped"
        self.tick()

    def start(self):
        self.tick()
        if self.state == "absent" or not self.works:
            raise BackendError("it does not start")
        if self.state == "stopped":
            self.check()
            self.wrote = False
        self.state = "running"
        self.tick()

    def wait_until_off(self, _seconds):
        return False

    def has_written(self):
        return self.wrote

    def sign_of_life(self):
        self.wrote = True
        return "it writes"
