# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether libvirt's audit events are kept, and where the host sends its logs."""

from __future__ import annotations

import re
from typing import Any

from ...backends.host.reading import Host
from ...errors import BackendError, NotFoundError
from .fact import Fact, measured
from .transport import settings

_UPLOAD = "systemd-journal-upload.service"
_RSYSLOG = "rsyslog.service"
_LEGACY = re.compile(r"^[^#\n]*?\s(@@?)(?:\([^)]*\))?(\[[^\]]+\]|[^\s:;@]+)(?::(\d+))?", re.MULTILINE)
_ACTION = re.compile(r"\baction\s*\(([^)]*)\)", re.IGNORECASE)
_PARAMETER = re.compile(r'(\w+)\s*=\s*"([^"]*)"')


def log_facts(host: Host) -> dict[str, Fact]:
    """Areas ``audit`` and ``log_forwarding``."""
    how = "journal-upload.conf with its drop-ins, rsyslog's files, systemctl is-active"
    return {
        "audit": measured("the daemon's file in /etc/libvirt, systemctl is-active auditd", lambda: _audit(host)),
        "log_forwarding": measured(how, lambda: {"targets": _uploads(host) + _rsyslog(host)}),
    }


def active(host: Host, unit: str) -> bool:
    """Whether systemd runs it; a unit that is not installed does not run. BackendError without systemd."""
    state = host.run("systemctl", "is-active", unit, accepts=(0, 3, 4)).strip()
    if state not in ("active", "activating", "reloading", "inactive", "failed", "deactivating", "unknown"):
        raise BackendError(f"systemctl is-active {unit} gave {state!r}")
    return state in ("active", "reloading")


def _audit(host: Host) -> dict[str, Any]:
    """``{daemon, level, auditd}``; level as libvirt has it: 0 never, 1 if the host audits, 2 always. Not set, it is 1."""
    daemon = "virtqemud" if active(host, "virtqemud.socket") or active(host, "virtqemud.service") else "libvirtd"
    try:
        text = host.read(f"/etc/libvirt/{daemon}.conf")
    except NotFoundError:
        text = ""
    level = settings(text).get("audit_level", "1")
    if level not in ("0", "1", "2"):
        raise BackendError(f"audit_level of {daemon}.conf is {level!r}, which is no level")
    return {"daemon": daemon, "level": int(level), "auditd": active(host, "auditd.service")}


def _uploads(host: Host) -> list[dict[str, Any]]:
    if not active(host, _UPLOAD):
        return []
    text = host.run("systemd-analyze", "cat-config", "systemd/journal-upload.conf")
    urls = re.findall(r"^\s*URL\s*=\s*(\S+)", text, re.MULTILINE)
    if not urls:
        raise BackendError(f"{_UPLOAD} is active, and journal-upload.conf has no URL")
    url = urls[-1] if "://" in urls[-1] else f"https://{urls[-1]}"
    scheme, _slashes, rest = url.partition("://")
    name, port = _split(rest.partition("/")[0])
    return [{"service": "journal-upload", "host": name, "port": port or 19532, "tls": scheme == "https"}]


def _rsyslog(host: Host) -> list[dict[str, Any]]:
    if not active(host, _RSYSLOG):
        return []
    texts = [host.read("/etc/rsyslog.conf")]
    try:
        names = [name for name in host.names("/etc/rsyslog.d") if name.endswith(".conf")]
    except NotFoundError:
        names = []
    texts += [host.read(f"/etc/rsyslog.d/{name}") for name in names]
    return rsyslog_targets("\n".join(texts))


def rsyslog_targets(text: str) -> list[dict[str, Any]]:
    """``[{service, host, port, tls}]`` of what rsyslog forwards to, in both of its languages.

    Only TLS that a target asks for itself, or the default of all old-style targets, counts.
    """
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    secured = re.search(r"^\s*\$ActionSendStreamDriverMode\s+1\b", text, re.MULTILINE) is not None
    found = []
    for written in _ACTION.findall(text):
        given = {name.lower(): value for name, value in _PARAMETER.findall(written)}
        kind = given.get("type", "").lower()
        if kind in ("omfwd", "omrelp") and given.get("target"):
            tls = given.get("tls", "") == "on" if kind == "omrelp" else _driver(given)
            found.append(_target(given["target"], given.get("port", ""), tls))
    for sign, name, port in _LEGACY.findall(_ACTION.sub("", text)):
        found.append(_target(name.strip("[]"), port, secured and sign == "@@"))
    return found


def _driver(given: dict[str, str]) -> bool:
    return given.get("protocol", "udp").lower() == "tcp" and given.get("streamdrivermode") == "1"


def _target(name: str, port: str, tls: bool) -> dict[str, Any]:
    return {"service": "rsyslog", "host": name, "port": int(port) if port.isdigit() else 514, "tls": tls}


def _split(place: str) -> tuple[str, int | None]:
    match = re.match(r"^(\[[^\]]+\]|[^:]*)(?::(\d+))?\Z", place)
    if match is None:
        raise BackendError(f"journal-upload.conf sends to {place!r}, which is no host")
    return match[1].strip("[]"), int(match[2]) if match[2] else None
