# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The areas of a k3s server's host, each with the file or command by which it is measured.

Data is that of a list of servers, with one here, so that the evidence of all servers of a cluster can be put together.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Callable

from ...backends.k3s_host import CONFIG, REGISTRIES, K3sHost
from ...errors import BackendError, NotFoundError
from . import k3s
from .fact import Fact, failed, measured

# What one server tells of all of them, and what each has of its own.
SHARED = ("secrets_encryption", "snapshots")
OWN = ("audit_log", "registries", "server_config")


def k3s_facts(host: K3sHost, server: str, now: datetime) -> dict[str, Fact]:
    """The areas of ``SHARED`` and ``OWN``, as ``{"servers": [{"server": its name, …}]}``; ``now``: when the ages are told of.

    An area of ``OWN`` that could not be measured is ``missing`` even when other servers could be.
    """
    how = f"{CONFIG} and its drop-ins"
    measures: dict[str, tuple[str, Callable[[], Any]]] = {
        "audit_log": (f"policy and newest event of the files that {how} name", lambda: _audit(host, now)),
        "registries": (REGISTRIES, lambda: k3s.registries(host.document(REGISTRIES))),
        "secrets_encryption": ("k3s secrets-encrypt status --output json", lambda: _encryption(host)),
        "server_config": (how, lambda: k3s.server_config(host.config_files())),
        "snapshots": (
            "k3s etcd-snapshot list --output json, else the files in the folder of snapshots",
            lambda: _snapshots(host, now),
        ),
    }
    absence = _absence(host)
    facts = {area: failed(how, absence) if absence else measured(how, measure) for area, (how, measure) in measures.items()}
    return {area: _of_server(fact, server, area in OWN) for area, fact in facts.items()}


def _of_server(fact: Fact, server: str, own: bool) -> Fact:
    if "data" in fact:
        return {**fact, "data": {"servers": [{"server": server, **fact["data"]}]}}
    why = f"server {server}: {fact['error']}"
    return {**fact, "error": why, "missing": [why]} if own else {**fact, "error": why}


def _absence(host: K3sHost) -> str:
    """Why this is no k3s server; empty where it is one, or where that is not known."""
    try:
        host.check_server(_data_dir(host))
    except NotFoundError as error:
        return " ".join(error.sentence().split())
    except BackendError:
        # The areas that need the files tell what is wrong with them.
        pass
    return ""


def _data_dir(host: K3sHost) -> str:
    return k3s.data_dir(k3s.merged(host.config_files()), host.data_dir)


def _encryption(host: K3sHost) -> dict[str, Any]:
    return k3s.encryption(host.encryption(_data_dir(host)))


def _audit(host: K3sHost, now: datetime) -> dict[str, Any]:
    arguments = k3s.server_config(host.config_files())["arguments"]["kube-apiserver"]
    policy, log = arguments.get("audit-policy-file", ""), arguments.get("audit-log-path", "")
    return k3s.audit(arguments, host.document(policy) if policy else None, host.last_line(log) if log else None, now)


def _snapshots(host: K3sHost, now: datetime) -> dict[str, Any]:
    config = k3s.merged(host.config_files())
    found, items = host.snapshots(_data_dir(host), str(config.get("etcd-snapshot-dir") or ""))
    return {"found": found, **k3s.snapshots(items, config, now)}
