# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's hook for QEMU by which a hypervisor refuses to start a VM that it does not own.

libvirt calls it as ``owner_guard NAME OPERATION SUB-OPERATION EXTRA`` with the VM's XML on stdin. Refusing is a sentence on
stderr and a status that is not 0. Nothing goes to stdout, where libvirt would take it for the XML, and no call goes to
libvirt, which waits for us.
"""

import json
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

STATE = Path("/var/lib/virt8ra")
# To refuse any other operation would kill a VM that runs.
JUDGED = ("prepare", "migrate", "restore")
PROBE = "virt8ra-guard-probe-"


class Refused(Exception):
    """Why the VM may not start here."""


class Registry:
    """The folder of owners on this hypervisor; ``files`` holds the file of the highest epoch of each UUID."""

    def __init__(self, folder):
        self.folder = folder
        epochs = {}
        for path in folder.glob("*.*.json"):
            uuid, epoch = path.name.split(".")[:2]
            if epoch.isdigit():
                epochs[uuid] = max(epochs.get(uuid, -1), int(epoch))
        self.files = {uuid: folder / f"{uuid}.{epoch}.json" for uuid, epoch in epochs.items()}

    def entry(self, uuid):
        """``(hypervisor, epoch, disks)``; ValueError for what cannot be read."""
        try:
            entry = json.loads(self.files[uuid].read_text(encoding="utf-8"))
            return str(entry["hypervisor"]), int(entry["epoch"]), {os.path.realpath(disk) for disk in entry["disks"]}
        except (OSError, KeyError, TypeError) as error:
            raise ValueError(str(error)) from error

    def is_fenced(self, uuid):
        return (self.folder / f"{uuid}.fence.json").exists()

    def permits(self, uuid, migration, *, use_up):
        """Whether that migration, whose journal is in the XML, was let start the VM once."""
        path = self.folder / f"{uuid}.permit.json"
        try:
            wanted = json.loads(path.read_text(encoding="utf-8")).get("migration")
        except (OSError, ValueError):
            return False
        if not migration or wanted != migration:
            return False
        if use_up:
            path.unlink()
        return True


def payload(root, kind):
    """What the collection wrote into the metadata, or an empty dictionary."""
    element = root.find(f"metadata/{{https://virt8ra.eu/federation/{kind}/1}}{kind}")
    try:
        data = json.loads(element.text) if element is not None and element.text else {}
    except ValueError:
        data = {}
    return data if isinstance(data, dict) else {}


def disk_paths(root):
    """Paths of the disks; discs in drives may be shared."""
    found = set()
    for disk in root.findall("devices/disk"):
        source = disk.find("source")
        path = None if source is None else source.get("file") or source.get("dev")
        if path and disk.get("device", "disk") in ("disk", "lun"):
            found.add(os.path.realpath(path))
    return found


def claims(registry, uuid, root):
    """``(epoch, hypervisor)`` by the XML and by the registry."""
    said = payload(root, "owner")
    found = []
    if isinstance(said.get("hypervisor"), str) and isinstance(said.get("epoch"), int):
        found.append((said["epoch"], said["hypervisor"]))
    if uuid in registry.files:
        try:
            hypervisor, epoch, _disks = registry.entry(uuid)
        except ValueError as error:
            raise Refused(
                f"its entry {registry.files[uuid]} cannot be read; run its migration again, which completes it"
            ) from error
        found.append((epoch, hypervisor))
    return found


def judge(registry, me, root, operation):
    """Raise Refused for a VM that may not start here. Where XML and registry say the same epoch, a foreign owner wins."""
    uuid = (root.findtext("uuid") or "").strip().lower()
    owners = claims(registry, uuid, root)
    highest = max((epoch for epoch, _name in owners), default=0)
    foreign = sorted({name for epoch, name in owners if epoch == highest and name != me})
    fenced = registry.is_fenced(uuid)
    if (foreign or fenced) and registry.permits(uuid, payload(root, "migration").get("id"), use_up=operation == "prepare"):
        return
    if foreign:
        raise Refused(f"its owner is {foreign[0]} (epoch {highest}); migrate it back, or start it there")
    if fenced:
        raise Refused("a migration of it is under way; run that again to finish it, or with state aborted to take it back")
    check_disks(registry, me, uuid, disk_paths(root))


def check_disks(registry, me, uuid, paths):
    """Refuse a VM under another UUID whose disk is the kept copy of a VM that went away."""
    for other in sorted(registry.files) if paths else ():
        if other == uuid:
            continue
        try:
            hypervisor, epoch, disks = registry.entry(other)
        except ValueError:
            # An entry of some other VM must not keep this one from starting.
            continue
        if hypervisor != me and paths & disks:
            what = f"its disk {min(paths & disks)} is a copy of VM {other}, whose owner is {hypervisor} (epoch {epoch})"
            raise Refused(f"{what}; release that migration first")


def main(argv):
    name, operation = [*argv, "", ""][1:3]
    if operation not in JUDGED:
        return 0
    xml = sys.stdin.buffer.read()
    try:
        me = (STATE / "hypervisor").read_text(encoding="utf-8").strip()
    except OSError:
        me = ""
    if name.startswith(PROBE):
        sys.stderr.write(f"virt8ra owner guard of {me} is awake\n")
        return 1
    try:
        judge(Registry(STATE / "owners"), me, ET.fromstring(xml), operation)
    except Refused as reason:
        sys.stderr.write(f"VM {name} may not start at {me}: {reason}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
