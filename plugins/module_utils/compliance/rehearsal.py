# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rehearsals of an exit: a VM that left as a bundle and started elsewhere; kept a line each, and what they say of a whole site; pure.

=================== ======= ==========================================================================================
area                of      data
=================== ======= ==========================================================================================
``exit_rehearsal``  vm      the newest record, with ``differences`` of the shape and ``other_site``
``exit``            site    ``{bytes, vms, rehearsals, p10_bytes_per_second, days}``: all of its VMs, one after the other
=================== ======= ==========================================================================================
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..fields import Fields
from ..portable import Portable
from .expression import moment

_REHEARSAL = "newest rehearsal of the playbook exit_rehearsal: export, import at another hypervisor, start and probe"
_EXIT = "bytes of all disks of the site's VMs, over the throughput that nine of ten rehearsals from it reached"
_DAY = 86400.0
# What an import must not change. Names of storage and networks are the sites' own, addresses of NICs are new.
_SHAPE = ("cpus", "memory", "firmware", "disks", "nics")


@dataclass(frozen=True)
class Rehearsal(Portable):
    """One of them. Sizes in bytes, times in seconds; ``finished``: ISO 8601.

    ``bundle_valid``: manifest and digests were right when the import read them. ``started``: the copy ran, and its system answered.
    ``problem``: one sentence why it failed; empty for none.
    """

    vm: str
    site: str
    hypervisor: str
    target_site: str
    target: str
    finished: str
    bytes: int
    export_seconds: float
    import_seconds: float
    start_seconds: float
    bundle_valid: bool
    started: bool
    differences: tuple[str, ...] = ()
    problem: str = ""

    @classmethod
    def from_dict(cls, data: Any, where: str = "record") -> Rehearsal:
        """InputError with the path of the key that is wrong."""
        fields = Fields(data, where)
        texts: dict[str, Any] = {
            key: fields.text(key, required=True) for key in ("vm", "site", "hypervisor", "target_site", "target", "finished")
        }
        moment(texts["finished"], fields.path("finished"))
        times: dict[str, Any] = {key: _seconds(fields, key) for key in ("export_seconds", "import_seconds", "start_seconds")}
        read = cls(
            **texts,
            bytes=fields.integer("bytes", 0, 0, 2**63),
            **times,
            bundle_valid=fields.boolean("bundle_valid", False),
            started=fields.boolean("started", False),
            differences=fields.texts("differences"),
            problem=fields.text("problem"),
        )
        fields.finish()
        return read

    @property
    def whole(self) -> bool:
        """Whether it is a measure of what an exit takes."""
        return self.bundle_valid and self.bytes > 0 and self.export_seconds + self.import_seconds > 0

    @property
    def bytes_per_second(self) -> float:
        """Of the bundle's files, out of one hypervisor and into another."""
        return self.bytes / (self.export_seconds + self.import_seconds)


def _seconds(fields: Fields, key: str) -> float:
    value = fields.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise InputError("is not a time", option=fields.path(key), value=value, remedy="write seconds")
    return float(value)


def read_records(text: str, where: str = "path") -> tuple[Rehearsal, ...]:
    """Of a file with a JSON object a line, oldest first; InputError names the line that is none."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                read = json.loads(line)
            except ValueError:
                remedy = "take the line out, or put the file away"
                raise InputError(f"has no JSON in line {number}", option=where, remedy=remedy) from None
            found.append(Rehearsal.from_dict(read, f"line {number}"))
    return tuple(sorted(found, key=_order))


def _order(record: Rehearsal) -> Any:
    return moment(record.finished, "finished"), record.site, record.vm


def to_text(records: Iterable[Rehearsal]) -> str:
    """A line each, oldest first."""
    return "".join(f"{json.dumps(one.to_dict(), sort_keys=True, ensure_ascii=False)}\n" for one in sorted(records, key=_order))


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """What of a VM's shape is different in its copy, a sentence each; both are portable specs."""
    mine, other = _shape(before), _shape(after)
    return tuple(f"{key} was {mine[key]} and is {other[key]}" for key in _SHAPE if mine[key] != other[key])


def _shape(spec: Mapping[str, Any]) -> dict[str, Any]:
    disks = [f"{disk.get('name')} {disk.get('size')}" for disk in spec.get("disks") or []]
    return {
        "cpus": spec.get("cpus"),
        "memory": spec.get("memory"),
        "firmware": spec.get("firmware"),
        "disks": ", ".join(sorted(disks)),
        "nics": len(spec.get("nics") or []),
    }


def slowest_tenth(records: Iterable[Rehearsal]) -> float | None:
    """Bytes a second that nine of ten reached (the tenth percentile, by nearest rank); None without any."""
    rates = sorted(one.bytes_per_second for one in records if one.whole)
    return rates[math.ceil(len(rates) / 10) - 1] if rates else None


def rehearsal_subjects(records: Sequence[Rehearsal], vms: Sequence[Any], where: str = "vms") -> list[dict[str, Any]]:
    """Subjects as evidence has them: each VM that was rehearsed, and each site that has VMs.

    :param vms: all VMs of the federation, ``{name, site, bytes}``; ``bytes``: sizes of its disks, null where nobody knows
    """
    newest: dict[tuple[str, str], Rehearsal] = {}
    for record in sorted(records, key=_order):
        newest[record.site, record.vm] = record
    found = [
        {"type": "vm", "name": vm, "site": site, "facts": {"exit_rehearsal": {"how": _REHEARSAL, "data": _told(one)}}}
        for (site, vm), one in sorted(newest.items())
    ]
    of_site: dict[str, list[tuple[str, int | None]]] = {}
    for index, given in enumerate(vms):
        fields = Fields(given, f"{where}[{index}]")
        name, site = fields.text("name", required=True), fields.text("site", required=True)
        size = fields.get("bytes")
        of_site.setdefault(site, []).append((name, None if size is None else fields.integer("bytes", 0, 0, 2**63)))
        fields.finish()
    for site in sorted(of_site):
        fact = {"how": _EXIT, **_exit(site, of_site[site], [one for one in records if one.site == site])}
        found.append({"type": "site", "name": site, "site": site, "facts": {"exit": fact}})
    return found


def _told(record: Rehearsal) -> dict[str, Any]:
    return {
        **record.to_dict(),
        "other_site": record.site != record.target_site,
        "seconds": round(record.export_seconds + record.import_seconds + record.start_seconds, 3),
    }


def _exit(site: str, vms: Sequence[tuple[str, int | None]], records: Sequence[Rehearsal]) -> dict[str, Any]:
    unknown = [name for name, size in vms if size is None]
    if unknown:
        return {"error": f"nobody knows the size of VM {unknown[0]}"}
    elsewhere = [one for one in records if one.site != one.target_site]
    rate = slowest_tenth(elsewhere)
    if rate is None:
        return {"error": f"no VM of site {site} was rehearsed at another site"}
    total = sum(size or 0 for _name, size in vms)
    return {
        "data": {
            "bytes": total,
            "vms": len(vms),
            "rehearsals": sum(one.whole for one in elsewhere),
            "p10_bytes_per_second": round(rate),
            "days": round(total / rate / _DAY, 3),
        }
    }
