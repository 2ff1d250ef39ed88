# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a k3s server's files and answers tell, by area; pure. Secrets of the configuration are left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from ...errors import BackendError, InputError
from ..expression import moment
from .cluster import mapping

DATA_DIR = "/var/lib/rancher/k3s"
HIDDEN = "(hidden)"
_SECRETS = ("token", "secret-key", "access-key", "password", "passphrase", "credential", "datastore-endpoint", "vpn-auth")
_USERINFO = re.compile(r"(//)[^/\s]*@")
_LISTS = ("kube-apiserver-arg", "kube-controller-manager-arg", "kube-scheduler-arg", "kubelet-arg", "kube-proxy-arg", "etcd-arg")


def merged(files: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The configuration that k3s makes of its files: a later value wins, one under ``name+`` is added. BackendError."""
    values: dict[str, Any] = {}
    for path, content in files:
        if not isinstance(content, Mapping):
            raise BackendError(f"{path} is not a mapping", remedy="mend the file")
        for name, value in content.items():
            key = str(name)
            if key.endswith("+"):
                key = key[:-1]
                values[key] = [*_items(values.get(key)), *_items(value)]
            else:
                values[key] = value
    return values


def _items(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def server_config(files: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """``{"files": [paths], "config": {...}, "arguments": {COMPONENT: {flag: value}}}``; COMPONENT is ``kube-apiserver``, ``kubelet``, …

    The flags of components, which stand in the configuration as ``name=value``, are told by their names as well.
    """
    config = merged(files)
    return {
        "files": [path for path, _content in files],
        "config": {key: _shown(key, value) for key, value in sorted(config.items())},
        "arguments": {key[: -len("-arg")]: _flags(config.get(key)) for key in _LISTS},
    }


def _shown(name: str, value: Any) -> Any:
    """Without what is secret by its name, names and passwords in URLs, and what has a shape that k3s does not know."""
    if value is None:
        return None
    if any(word in name.lower() for word in _SECRETS):
        return HIDDEN
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return _argument(value) if name in _LISTS else _USERINFO.sub(rf"\1{HIDDEN}@", value)
    return [_shown(name, one) for one in value] if isinstance(value, (list, tuple)) else HIDDEN


def _argument(written: str) -> str:
    name, equals, value = written.partition("=")
    return f"{name}{equals}{_shown(name.lstrip('-'), value)}"


def _flags(value: Any) -> dict[str, str]:
    pairs = (str(one).lstrip("-").partition("=") for one in _items(value))
    return {name: str(_shown(name, told)) if equals else "true" for name, equals, told in pairs}


def data_dir(config: Mapping[str, Any], given: str = "") -> str:
    """Where k3s keeps its data; ``given`` on its command line wins over its files."""
    return str(given or config.get("data-dir") or DATA_DIR).rstrip("/")


def encryption(told: Mapping[str, Any]) -> dict[str, Any]:
    """``{"enabled", "stage", "hashes_match", "hash_error", "key_type"}`` of ``secrets-encrypt status``; the key's name is left out."""
    return {
        "enabled": told.get("enable") is True,
        "stage": str(told.get("stage") or ""),
        "hashes_match": told.get("hashmatch") is True,
        "hash_error": str(told.get("hasherror") or ""),
        "key_type": str(told.get("activekey") or "").partition(" ")[0],
    }


def audit(arguments: Mapping[str, str], policy: Any, line: str | None, now: datetime) -> dict[str, Any]:
    """``{"policy", "levels", "log", "max_age_days", "newest", "age_seconds"}``.

    ``levels``: those of the policy's rules, without doubles; ``newest``: time of the log's last event, null for none.

    :param arguments: flags of kube-apiserver
    :param policy: the policy file's content; None for none
    :param line: last line of the log; None where there is no log
    """
    rules = mapping(policy).get("rules")
    levels = {str(mapping(rule).get("level") or "") for rule in rules} if isinstance(rules, list) else set()
    newest = _event_time(line)
    return {
        "policy": arguments.get("audit-policy-file", "") if policy is not None else "",
        "levels": sorted(levels - {""}),
        "log": arguments.get("audit-log-path", "") if line is not None else "",
        "max_age_days": _number(arguments.get("audit-log-maxage", "")),
        "newest": newest,
        "age_seconds": None if newest is None else round((now - moment(newest, "audit")).total_seconds()),
    }


def _event_time(line: str | None) -> str | None:
    try:
        event = mapping(json.loads(line or "null"))
        written = event.get("stageTimestamp") or event.get("requestReceivedTimestamp")
        moment(written, "audit")
    except (ValueError, InputError):
        return None
    return str(written)


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def snapshots(items: Iterable[Any], config: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """``{"snapshots": [{name, created, bytes, location}], "newest", "age_hours", "s3"}``, newest last; failed ones are left out.

    ``s3``: host of the object store that k3s copies to; empty for none. ``age_hours``: null where there is none.
    """
    found = [row for row in map(_snapshot, items) if row is not None]
    found.sort(key=lambda row: (moment(row["created"], "snapshot"), row["name"]))
    newest = found[-1]["created"] if found else None
    return {
        "snapshots": found,
        "newest": newest,
        "age_hours": None if newest is None else round((now - moment(newest, "snapshot")).total_seconds() / 3600, 2),
        "s3": _host(config.get("etcd-s3-endpoint") or "s3.amazonaws.com") if config.get("etcd-s3") in (True, "true") else "",
    }


def _snapshot(item: Any) -> dict[str, Any] | None:
    spec, status = mapping(mapping(item).get("spec")), mapping(mapping(item).get("status"))
    created = status.get("creationTime")
    if status.get("readyToUse") is False or status.get("error"):
        return None
    try:
        moment(created, "snapshot")
    except InputError:
        return None
    size = str(status.get("size") or "")
    return {
        "name": str(spec.get("snapshotName") or ""),
        "created": str(created),
        "bytes": int(size) if size.isdigit() else None,
        "location": str(spec.get("location") or ""),
    }


def registries(document: Any) -> dict[str, Any]:
    """``{"mirrors": [{registry, endpoints}], "hosts": [...], "plain": [...], "unchecked": [...]}`` of registries.yaml, without credentials.

    ``hosts``: those of all endpoints; ``plain``: endpoints without TLS; ``unchecked``: registries whose certificate is not checked.
    """
    told = mapping(document)
    mirrors = [
        {"registry": str(name), "endpoints": [_bare(one) for one in _items(mapping(mirror).get("endpoint"))]}
        for name, mirror in sorted(mapping(told.get("mirrors")).items())
    ]
    endpoints = sorted({one for mirror in mirrors for one in mirror["endpoints"]})
    configs = sorted(mapping(told.get("configs")).items())
    return {
        "mirrors": mirrors,
        "hosts": sorted({_host(one) for one in endpoints}),
        "plain": [one for one in endpoints if one.startswith("http://")],
        "unchecked": [str(name) for name, one in configs if mapping(mapping(one).get("tls")).get("insecure_skip_verify") is True],
    }


def _bare(endpoint: Any) -> str:
    """Without a name and password before the host, and without a query."""
    scheme, found, rest = str(endpoint).partition("?")[0].partition("://")
    host, slash, path = (rest if found else scheme).partition("/")
    return f"{scheme if found else 'https'}://{host.rpartition('@')[2]}{slash}{path}"


def _host(endpoint: Any) -> str:
    text = str(endpoint)
    try:
        return urlsplit(text if "//" in text else f"//{text}").hostname or text
    except ValueError:
        return text
