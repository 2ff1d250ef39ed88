# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""With whom the host has to do: who logged in, who is connected, which servers of names and time it asks."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from ...backends.host.reading import Host
from ...errors import BackendError, NotFoundError
from .fact import Fact, measured
from .logs import active

_DAYS = 30
_RESOLVED = "/run/systemd/resolve/resolv.conf"
_LOGIN = re.compile(r"^(\S+)\s+(\S+)\s+(\S+)\s+(\d{4}-\d\d-\d\dT\S+)")
# What `last` writes of the host itself.
_NOT_LOGINS = ("reboot", "shutdown", "runlevel")


def outside_facts(host: Host) -> dict[str, Fact]:
    """Areas ``logins``, ``peers`` and ``services``."""
    return {
        "logins": measured(f"last, of {_DAYS} days", lambda: {"days": _DAYS, "logins": _logins(host)}),
        "peers": measured("ss, established TCP", lambda: peers(host.run("ss", "-H", "-t", "-n", "state", "established"))),
        "services": measured("resolv.conf, chrony.conf, timesyncd.conf", lambda: {"dns": _dns(host), "ntp": _ntp(host)}),
    }


def _logins(host: Host) -> list[dict[str, str]]:
    host.changed("/var/log/wtmp")
    return logins(host.run("last", "--ip", "--fullnames", "--time-format", "iso", "--since", f"-{_DAYS}days"))


def logins(text: str) -> list[dict[str, str]]:
    """``[{user, address, last}]`` of what `last` wrote, the newest login of each; of consoles ``address`` is empty."""
    found: dict[tuple[str, str], str] = {}
    for line in text.splitlines():
        match = _LOGIN.match(line)
        if match and match[1] not in _NOT_LOGINS:
            address = "" if match[3] in ("0.0.0.0", "::") else match[3]
            found[match[1], address] = max(found.get((match[1], address), ""), match[4])
    return [{"user": user, "address": address, "last": moment} for (user, address), moment in sorted(found.items())]


def peers(text: str) -> list[dict[str, Any]]:
    """``[{address, port, local_port}]`` of connections to others, sorted, each once; BackendError for what `ss` does not write."""
    found = set()
    for line in text.splitlines():
        words = line.split()
        if len(words) < 4:
            raise BackendError(f"ss wrote {line!r}, which is no connection")
        (_mine, local_port), (address, port) = _place(words[2]), _place(words[3])
        one = ipaddress.ip_address(address)
        if not (getattr(one, "ipv4_mapped", None) or one).is_loopback:
            found.add((address, port, local_port))
    return [{"address": address, "port": port, "local_port": local} for address, port, local in sorted(found)]


def _place(written: str) -> tuple[str, int]:
    address, _colon, port = written.rpartition(":")
    try:
        return str(ipaddress.ip_address(address.strip("[]").partition("%")[0])), int(port)
    except ValueError:
        raise BackendError(f"ss wrote {written!r}, which is no address") from None


def _dns(host: Host) -> list[str]:
    """Name servers, those behind systemd's own stub where it is what is asked."""
    found = _servers(host.read("/etc/resolv.conf"), ("nameserver",))
    return _servers(host.read(_RESOLVED), ("nameserver",)) if found == ["127.0.0.53"] else found


def _ntp(host: Host) -> list[str]:
    """Time servers of the service that runs; BackendError where none of those that we know runs."""
    if active(host, "chrony.service") or active(host, "chronyd.service"):
        found = _servers(_chrony(host), ("server", "pool", "peer"))
    elif active(host, "systemd-timesyncd.service"):
        text = host.run("systemd-analyze", "cat-config", "systemd/timesyncd.conf")
        lines = dict(re.findall(r"^\s*(NTP|FallbackNTP)\s*=\s*(.*)$", text, re.MULTILINE))
        found = (lines.get("NTP") or lines.get("FallbackNTP") or "").split()
        if not found:
            raise BackendError("timesyncd.conf names no server, so that the one built in is asked")
    else:
        raise BackendError("neither chrony nor systemd-timesyncd runs")
    return found


def _chrony(host: Host) -> str:
    texts = [host.read("/etc/chrony/chrony.conf")]
    for folder, suffix in (("/etc/chrony/sources.d", ".sources"), ("/etc/chrony/conf.d", ".conf")):
        try:
            texts += [host.read(f"{folder}/{name}") for name in host.names(folder) if name.endswith(suffix)]
        except NotFoundError:
            continue
    return "\n".join(texts)


def _servers(text: str, words: tuple[str, ...]) -> list[str]:
    pattern = rf"^\s*(?:{'|'.join(words)})\s+(\S+)"
    return sorted(set(re.findall(pattern, text, re.MULTILINE)))
