# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The areas of a k3s server's host, each with the file or command by which it is measured."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...backends.k3s_host import CONFIG, REGISTRIES, K3sHost
from . import k3s
from .fact import Fact, measured


def k3s_facts(host: K3sHost, now: datetime) -> dict[str, Fact]:
    """``secrets_encryption``, ``server_config``, ``audit_log``, ``snapshots``, ``registries``; ``now``: when the ages are told of."""
    how = f"{CONFIG} and its drop-ins"
    return {
        "audit_log": measured(f"policy and newest event of the files that {how} name", lambda: _audit(host, now)),
        "registries": measured(REGISTRIES, lambda: k3s.registries(host.document(REGISTRIES))),
        "secrets_encryption": measured("k3s secrets-encrypt status --output json", lambda: _encryption(host)),
        "server_config": measured(how, lambda: k3s.server_config(host.config_files())),
        "snapshots": measured(
            "k3s etcd-snapshot list --output json, else the files in the folder of snapshots",
            lambda: _snapshots(host, now),
        ),
    }


def _encryption(host: K3sHost) -> dict[str, Any]:
    return k3s.encryption(host.encryption(k3s.data_dir(k3s.merged(host.config_files()))))


def _audit(host: K3sHost, now: datetime) -> dict[str, Any]:
    arguments = k3s.server_config(host.config_files())["arguments"]["kube-apiserver"]
    policy, log = arguments.get("audit-policy-file", ""), arguments.get("audit-log-path", "")
    return k3s.audit(arguments, host.document(policy) if policy else None, host.last_line(log) if log else None, now)


def _snapshots(host: K3sHost, now: datetime) -> dict[str, Any]:
    config = k3s.merged(host.config_files())
    found, items = host.snapshots(k3s.data_dir(config), str(config.get("etcd-snapshot-dir") or ""))
    return {"found": found, **k3s.snapshots(items, config, now)}
