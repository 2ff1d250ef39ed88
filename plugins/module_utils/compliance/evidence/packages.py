# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Software of the host: fixes that wait, where packages come from, under which licences, and its bill of materials."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

from ...backends.host.reading import Host
from ...errors import BackendError, NotFoundError
from .fact import Fact, measured

_LISTS = "/var/lib/apt/lists"
_WAITS = re.compile(r"^([^\s/]+)/(\S+) (\S+) \S+ \[upgradable from: ([^\]]+)\]", re.MULTILINE)
_TARGET = "$(SITE)|$(RELEASE)|$(COMPONENT)|$(TRUSTED)|$(FILENAME)"
# What runs VMs and moves them; their libraries are the distribution's.
_PLANE = ("libvirt-daemon", "libvirt0", "qemu-system-x86", "qemu-system-arm", "qemu-utils", "python3-libvirt")
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z]+(?:-\d+(?:\.\d+)*)?)")


def package_facts(host: Host, sbom: str) -> dict[str, Fact]:
    """Areas ``packages``, ``repositories``, ``licences`` and ``sbom``."""
    return {
        "packages": measured("apt list --upgradable, of the lists that are here", lambda: _waiting(host)),
        "repositories": measured("apt-get indextargets", lambda: _repositories(host)),
        "licences": measured("/usr/share/doc/*/copyright", lambda: _licences(host)),
        "sbom": measured(sbom, lambda: _bill(host, sbom)),
    }


def _waiting(host: Host) -> dict[str, Any]:
    """``{lists_updated, waiting: [{name, installed, available, security}]}``. apt's lists do not tell since when a fix is there."""
    names = [name for name in host.names(_LISTS) if name.endswith("Release")]
    if not names:
        raise BackendError("apt has no lists, so what waits cannot be told")
    updated = datetime.fromtimestamp(host.changed(_LISTS), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"lists_updated": updated, "waiting": waiting(host.run("apt", "list", "--upgradable"))}


def waiting(text: str) -> list[dict[str, Any]]:
    """Of what ``apt list --upgradable`` wrote, each package once, also those that are held back."""
    found = {}
    for name, suites, available, installed in _WAITS.findall(text):
        found[name] = {"name": name, "installed": installed, "available": available, "security": "security" in suites.lower()}
    return [found[name] for name in sorted(found)]


def _repositories(host: Host) -> list[dict[str, Any]]:
    """``[{uri, suite, components, signed}]``; ``signed``: apt trusts it, and there is a signature that it can have checked.

    A source that apt has not fetched yet has no signature, and counts as well.
    """
    files = set(host.names(_LISTS))
    checked = set()
    for uri, suite, component, trusted, path in _targets(host):
        base = path.rpartition("/")[2].partition(f"_{component}_")[0]
        if trusted == "yes" and files & {f"{base}_InRelease", f"{base}_Release.gpg"}:
            checked.add((uri, suite, component))
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for uri, suite, component, _trusted, _path in _targets(host, "--no-release-info"):
        one = found.setdefault((uri, suite), {"uri": uri, "suite": suite, "components": [], "signed": True})
        if component not in one["components"]:
            one["components"].append(component)
        one["signed"] = one["signed"] and (uri, suite, component) in checked
    return [found[key] for key in sorted(found)]


def _targets(host: Host, *options: str) -> list[list[str]]:
    """What ``_TARGET`` says of each list of packages. Without options: of those that were fetched only, with apt's word on trust."""
    told = host.run("apt-get", "indextargets", *options, "--format", _TARGET, "Created-By: Packages")
    return [line.split("|", 4) for line in told.splitlines()]


def _licences(host: Host) -> list[dict[str, Any]]:
    """``[{package, licences}]`` of the control plane's packages that are here; without licences where its file names none."""
    found = []
    for package in _PLANE:
        try:
            text = host.read(f"/usr/share/doc/{package}/copyright")
        except NotFoundError:
            continue
        found.append({"package": package, "licences": licences(text)})
    if not found:
        raise BackendError("none of the control plane's packages is here")
    return found


def licences(text: str) -> list[str]:
    """Short names of a Debian copyright file: those of its fields, or the common licences that it refers to where no field has any."""
    fields = re.findall(r"^License:[ \t]*(\S.*)$", text, re.MULTILINE)
    names = {name for field in fields for name in re.split(r"\s+(?:and|or|with\s+.*?\s+exception)\s*,?\s*|,\s*", field)}
    return sorted(name for name in names if name) or sorted({name.rstrip(".") for name in _COMMON.findall(text)})


def _bill(host: Host, path: str) -> dict[str, Any]:
    """``{format, version, written, components, missing}``; ``missing`` are installed packages that the bill does not name."""
    text = host.read(path)
    try:
        bill = json.loads(text)
        named = {str(one["name"]) for one in bill.get("components", [])}
        made = bill.get("metadata", {}).get("timestamp")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BackendError(f"{path} is no CycloneDX in JSON") from None
    written = made or datetime.fromtimestamp(host.changed(path), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    installed = host.run("dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}|${Package}\\n").splitlines()
    packages = {line.partition("|")[2] for line in installed if line.startswith("ii")}
    return {
        "format": str(bill.get("bomFormat", "")),
        "version": str(bill.get("specVersion", "")),
        "written": written,
        "components": len(named),
        "missing": sorted(packages - named),
    }
