# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evidence of a hypervisor with 500 VMs: one call of ``compliance_evidence``, a whole process on this machine.

libvirt's own driver ``test`` has the VMs, each with three disks, one of them encrypted, and two NICs. All else is asked of this
machine, as the module asks a hypervisor: its packages, logs, logins and block devices. Each run's evidence is counted, so that a run
that lost VMs is not fast for the wrong reason.
"""

from __future__ import annotations

import json
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from .bench import ROOT, Lab, Measured, Row, median, repeats, run_whole

VMS = 500
SECONDS = 3.0
MODULE = "ansible_collections.virt8ra.federation.plugins.modules.compliance_evidence"
_PATH = str(ROOT / "build" / "collections")
# The pools of a hypervisor, as folders; a few, as hypervisors have them.
_POOLS = ("fast", "large", "shared")
_AREAS = {"security_label", "machine", "disks", "receipts"}
_SECRET = "<encryption format='luks'><secret type='passphrase' uuid='{uuid}'/></encryption>"
_DISK = "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{path}'>{secret}</source><target dev='{dev}' bus='virtio'/></disk>"
_NIC = "<interface type='network'><mac address='52:54:00:{number:02x}:{high:02x}:{low:02x}'/><source network='default'/><model type='virtio'/></interface>"
_DOMAIN = """
<domain type='test'>
  <name>{name}</name><uuid>{uuid}</uuid><memory unit='KiB'>65536</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os><cpu mode='host-passthrough'/>
  <devices>{devices}</devices>
</domain>
"""


def run(_lab: Lab) -> list[Row]:
    """One row: seconds."""
    with tempfile.TemporaryDirectory(prefix="virt8ra-bench-") as folder:
        arguments = _arguments(Path(folder))
        runs = []
        for _repeat in range(repeats()):
            runs.append(_gathered(arguments))
            print(f"    {runs[-1].seconds:.2f} s, {runs[-1].memory:.0f} MiB", flush=True)
    seconds = median(runs).seconds
    return [Row(f"evidence of a hypervisor with {VMS} VMs, one call of a module, s", seconds, SECONDS, seconds, SECONDS, True)]


def _arguments(folder: Path) -> Path:
    """The module's arguments as a file, beside the hypervisor that they name."""
    for pool in _POOLS:
        (folder / pool).mkdir()
    node = folder / "node.xml"
    node.write_text(f"<node>{''.join(_domain(folder, number) for number in range(VMS))}</node>", encoding="utf-8")
    given = {
        "uri": f"test://{node}",
        "site": {"name": "bench", "provider": "Bench", "country": "ES"},
        "hypervisor": "kvm1",
        "address": "127.0.0.1",
        "state_path": str(folder / "state"),
    }
    arguments = folder / "arguments.json"
    arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": given}), encoding="utf-8")
    return arguments


def _domain(folder: Path, number: int) -> str:
    name = f"bench-{number:03}"
    key = uuid.uuid5(uuid.NAMESPACE_DNS, name)
    devices = ""
    for place, pool in enumerate(_POOLS):
        dev = f"vd{'abc'[place]}"
        secret = "" if place else _SECRET.format(uuid=key)
        devices += _DISK.format(path=folder / pool / f"{name}-{dev}.qcow2", secret=secret, dev=dev)
    devices += "".join(_NIC.format(number=card, high=number >> 8, low=number & 0xFF) for card in range(2))
    return _DOMAIN.format(name=name, uuid=key, devices=devices)


def _gathered(arguments: Path) -> Measured:
    with tempfile.TemporaryFile() as output:
        measured = run_whole([sys.executable, "-m", MODULE, str(arguments)], {"PYTHONPATH": _PATH}, output)
        output.seek(0)
        _check(json.load(output))
    return measured


def _check(result: dict[str, Any]) -> None:
    """All VMs are there with all areas."""
    whole = [one["name"] for one in result["evidence"]["subjects"] if one["type"] == "vm" and set(one["facts"]) == _AREAS]
    if len(set(whole)) != VMS:
        raise RuntimeError(f"the evidence has {len(set(whole))} of {VMS} VMs")
