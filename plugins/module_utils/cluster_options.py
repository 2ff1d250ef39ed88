# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Argument specs of the modules that migrate clusters, and the environment variables behind them."""

from __future__ import annotations

from ansible.module_utils.common.parameters import env_fallback

from .cluster_migration.hooks import MOMENTS
from .options import Spec

METHODS = ("auto", "workloads", "nodes")


def _end_spec(end: str) -> Spec:
    """``<end>_kubeconfig`` and ``<end>_context``; ``VIRT8RA_<END>_KUBECONFIG`` and ``…_CONTEXT`` are behind them."""
    kinds = {"kubeconfig": "path", "context": "str"}
    return {
        f"{end}_{key}": {"type": kind, "fallback": (env_fallback, [f"VIRT8RA_{end.upper()}_{key.upper()}"])}
        for key, kind in kinds.items()
    }


def cluster_migration_spec() -> Spec:
    """All options of cluster_migration (``cluster_migration.request.Request`` and ``cluster_migration.policy.Policy``)."""
    spec: Spec = {
        **_end_spec("source"),
        **_end_spec("target"),
        "name": {"type": "str"},
        "state": {"type": "str", "choices": ["planned", "synced", "completed", "aborted", "released"], "default": "completed"},
        "method": {"type": "str", "choices": list(METHODS), "default": "auto"},
        "namespaces": {"type": "list", "elements": "str", "default": []},
        "exclude_namespaces": {"type": "list", "elements": "str", "default": []},
        "exclude_kinds": {"type": "list", "elements": "str", "default": []},
        "storage_classes": {"type": "dict", "default": {}},
        "ingress_classes": {"type": "dict", "default": {}},
        "priority_classes": {"type": "dict", "default": {}},
        "node_ports": {"type": "str", "choices": ["keep", "new"], "default": "keep"},
        "load_balancer_ips": {"type": "str", "choices": ["keep", "new"], "default": "new"},
        "images": {"type": "dict", "default": {}},
        "missing_images": {"type": "str", "choices": ["ignore", "warn", "block"], "default": "warn"},
        "conflicts": {"type": "str", "choices": ["refuse", "force"], "default": "refuse"},
        "jobs": {"type": "str", "choices": ["wait", "suspend"], "default": "wait"},
        "mover_image": {"type": "str", "default": "busybox:1.37"},
        "mover_bandwidth": {"type": "int", "default": 0},
        "connections": {"type": "int", "default": 16},
        "quiesce_timeout": {"type": "int", "default": 300},
        "ready_timeout": {"type": "int", "default": 600},
        "verify_digests": {"type": "bool", "default": True},
        "life_probes": {"type": "list", "elements": "dict", "default": [], "options": _probe_spec()},
        "hooks": {"type": "list", "elements": "dict", "default": [], "options": _hook_spec()},
        "patience": {"type": "int", "default": 120},
        "progress_path": {"type": "path"},
        "report_dir": {"type": "str"},
    }
    spec["source_kubeconfig"]["required"] = True
    spec["target_kubeconfig"]["required"] = True
    return spec


def cluster_migration_info_spec() -> Spec:
    """All options of cluster_migration_info."""
    return {
        "kubeconfig": {"type": "path", "required": True, "fallback": (env_fallback, ["VIRT8RA_KUBECONFIG"])},
        "context": {"type": "str", "fallback": (env_fallback, ["VIRT8RA_CONTEXT"])},
        "name": {"type": "str"},
        "patience": {"type": "int", "default": 20},
    }


def _probe_spec() -> Spec:
    return {
        "url": {"type": "str"},
        "status": {"type": "int", "default": 200},
        "validate_certs": {"type": "bool", "default": True},
        "host": {"type": "str"},
        "port": {"type": "int"},
        "timeout": {"type": "int", "default": 60},
    }


def _hook_spec() -> Spec:
    return {
        "when": {"type": "str", "choices": list(MOMENTS), "required": True},
        "command": {"type": "list", "elements": "str", "required": True},
        "timeout": {"type": "int", "default": 300},
    }
