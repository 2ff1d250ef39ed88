# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Argument specs that modules share, and the environment variables behind them.

The doc fragments ``libvirt``, ``kubernetes`` and ``site`` document exactly these; a test compares them.
"""

from __future__ import annotations

from typing import Any

from ansible.module_utils.common.parameters import env_fallback

from .cloud_init.seed import BUSES
from .host_cpu import ACCELERATORS
from .image_records import STATE_PATH
from .images import IMAGE_FIRMWARES, LIBRARY_STORAGE
from .model import CLONES, DISK_BUSES, DISK_FORMATS, FIRMWARES, NIC_MODELS
from .rules import LEVELS, WEIGHTS

DEFAULT_URI = "qemu:///system"
DEFAULT_CONNECT_TIMEOUT = 15
DEFAULT_PATIENCE = 30

Spec = dict[str, Any]


def libvirt_spec() -> Spec:
    """How the module reaches libvirtd: ``uri``, ``pki_path``, ``connect_timeout`` (seconds)."""
    return {
        "uri": {"type": "str", "default": DEFAULT_URI, "fallback": (env_fallback, ["VIRT8RA_URI"])},
        "pki_path": {"type": "path", "fallback": (env_fallback, ["VIRT8RA_PKI_PATH"])},
        "connect_timeout": {
            "type": "int",
            "default": DEFAULT_CONNECT_TIMEOUT,
            "fallback": (env_fallback, ["VIRT8RA_CONNECT_TIMEOUT"]),
        },
    }


def kubernetes_spec() -> Spec:
    """How the module reaches a cluster's API server: ``kubeconfig``, ``context``, ``patience`` (seconds)."""
    return {
        "kubeconfig": {"type": "path", "required": True, "fallback": (env_fallback, ["VIRT8RA_KUBECONFIG"])},
        "context": {"type": "str", "fallback": (env_fallback, ["VIRT8RA_CONTEXT"])},
        "patience": {"type": "int", "default": DEFAULT_PATIENCE},
    }


def site_spec() -> Spec:
    """The site's entry (``Site.to_dict``), which the inventory gives as ``federation_site``."""
    return {"site": {"type": "dict", "required": True}}


def hypervisor_spec(required: bool = True) -> Spec:
    """The hypervisor's own name in the federation (``inventory_hostname``)."""
    return {"hypervisor": {"type": "str", "required": required, "fallback": (env_fallback, ["VIRT8RA_HYPERVISOR"])}}


def cpus_spec() -> Spec:
    """Processors of other hypervisors, as ``HostCpu.to_dict`` gives them."""
    keys = {"hypervisor": "str", "accelerator": "str", "description": "str", "models": "list", "known_models": "list"}
    options: Spec = {key: {"type": kind, "required": True} for key, kind in keys.items()}
    for key in ("models", "known_models"):
        options[key]["elements"] = "str"
    options["accelerator"]["choices"] = list(ACCELERATORS)
    return {"type": "list", "elements": "dict", "options": options}


def vm_spec() -> Spec:
    """The portable spec of a VM, nothing of it required: what is null stays as it is, or takes the model's default."""
    return {
        "name": {"type": "str", "required": True},
        "cpus": {"type": "int"},
        "memory": {"type": "str"},
        "uuid": {"type": "str"},
        "description": {"type": "str"},
        "cpu_model": {"type": "str"},
        "machine": {"type": "str"},
        "firmware": {"type": "str", "choices": list(FIRMWARES)},
        "disks": {"type": "list", "elements": "dict", "options": _disk_spec()},
        "nics": {"type": "list", "elements": "dict", "options": _nic_spec()},
        "console_log": {"type": "bool"},
        "autostart": {"type": "bool"},
        "allowed_countries": {"type": "list", "elements": "str"},
        "placement": {"type": "dict", "options": _placement_spec()},
    }


def cloud_init_spec() -> Spec:
    """What a guest is given for its first boot (``cloud_init.seed.CloudInit``). All of it may be secret."""
    return {
        "cloud_init": {
            "type": "dict",
            "no_log": True,
            "options": {
                "user_data": {"type": "dict", "no_log": True},
                "network_config": {"type": "dict", "no_log": True},
                "meta_data": {"type": "dict", "no_log": True},
                "ssh_host_keys": {"type": "dict", "no_log": True},
                "instance_id": {"type": "str"},
                "bus": {"type": "str", "choices": list(BUSES)},
            },
        }
    }


def migration_spec() -> Spec:
    """All options of vm_migration: the VM, both ends, and the policy of the move (``migration.live.Policy``)."""
    return {
        **libvirt_spec(),
        **site_spec(),
        **hypervisor_spec(),
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["planned", "synced", "completed", "aborted", "released"], "default": "completed"},
        "mode": {"type": "str", "choices": ["live", "warm", "cold", "auto"], "default": "live"},
        "source_hypervisor": {"type": "str", "required": True},
        "source_site": {"type": "dict", "required": True},
        "storage": {"type": "dict", "default": {}},
        "networks": {"type": "dict", "default": {}},
        "formats": {"type": "dict", "default": {}},
        "macs": {"type": "str", "choices": ["keep", "remap"], "default": "keep"},
        "override_reason": {"type": "str", "default": ""},
        "latencies": {"type": "list", "elements": "dict", "default": []},
        "moving": {"type": "dict", "default": {}},
        "clear": {"type": "list", "elements": "str", "choices": ["snapshots", "checkpoints", "media"], "default": []},
        "not_before": {"type": "str"},
        "not_after": {"type": "str"},
        "sync_interval": {"type": "int", "default": 300},
        "downtime_budget": {"type": "int"},
        "rounds": {"type": "int", "default": 8},
        "connections": {"type": "int", "default": 6},
        "backup_ports": {"type": "list", "elements": "int", "default": [49200, 49215]},
        "shutdown_mode": {"type": "str", "choices": ["auto", "agent", "acpi"], "default": "auto"},
        "shutdown_timeout": {"type": "int", "default": 120},
        "force_off": {"type": "bool", "default": False},
        "life_timeout": {"type": "int", "default": 120},
        "state_path": {"type": "path", "default": "/var/lib/virt8ra"},
        "bandwidth": {"type": "int", "default": 0},
        "downtime": {"type": "int", "default": 0},
        "auto_converge": {"type": "bool", "default": True},
        "suspend_after": {"type": "int", "default": 0},
        "verify_disks": {"type": "bool", "default": False},
        "stall_timeout": {"type": "int", "default": 60},
        "timeout": {"type": "int", "default": 0},
        "progress_path": {"type": "path"},
        "report_dir": {"type": "str"},
    }


def library_spec() -> Spec:
    """Which library: the logical storage that holds it, and where its records are."""
    return {"storage": {"type": "str", "default": LIBRARY_STORAGE}, "state_path": {"type": "path", "default": STATE_PATH}}


def image_spec() -> Spec:
    """All options of image: the image as ``Image.to_dict`` has it, and what shall become of it."""
    return {
        **libvirt_spec(),
        **site_spec(),
        **hypervisor_spec(),
        **library_spec(),
        "name": {"type": "str", "required": True},
        "version": {"type": "str"},
        "sha256": {"type": "str"},
        "source": {
            "type": "dict",
            "options": {"url": {"type": "str"}, "file": {"type": "str"}, "site": {"type": "str"}},
        },
        "format": {"type": "str", "choices": list(DISK_FORMATS), "default": "qcow2"},
        "size": {"type": "str"},
        "os_variant": {"type": "str", "default": ""},
        "architecture": {"type": "str", "default": "x86_64"},
        "firmware": {"type": "str", "choices": list(IMAGE_FIRMWARES), "default": "any"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "peers": {"type": "list", "elements": "dict", "default": []},
        "verify": {"type": "bool", "default": False},
        "keep": {"type": "int"},
        "pushed_path": {"type": "path"},
        "progress_path": {"type": "path"},
    }


def export_spec() -> Spec:
    """All options of vm_export (``bundle.request.ExportRequest``)."""
    return {
        **libvirt_spec(),
        **site_spec(),
        **hypervisor_spec(),
        "name": {"type": "str", "required": True},
        "path": {"type": "path", "required": True},
        "form": {"type": "str", "choices": ["folder", "tar"], "default": "folder"},
        "format": {"type": "str", "choices": list(DISK_FORMATS), "default": "qcow2"},
        "compress": {"type": "bool", "default": False},
        "media": {"type": "str", "choices": ["cloud-init", "all", "none"], "default": "cloud-init"},
        "force": {"type": "bool", "default": False},
        "state_path": {"type": "path", "default": "/var/lib/virt8ra"},
        "progress_path": {"type": "path"},
    }


def import_spec() -> Spec:
    """All options of vm_import (``bundle.request.ImportRequest``)."""
    return {
        **libvirt_spec(),
        **site_spec(),
        **hypervisor_spec(),
        "path": {"type": "path", "required": True},
        "name": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "running"], "default": "present"},
        "identity": {"type": "str", "choices": ["keep", "new"], "default": "keep"},
        "storage": {"type": "dict", "default": {}},
        "networks": {"type": "dict", "default": {}},
        "formats": {"type": "dict", "default": {}},
        "accelerator": {"type": "str", "choices": ["auto", "kvm", "tcg"], "default": "auto"},
        "connections": {"type": "int", "default": 4},
        "peers": {"type": "dict", "default": {}},
        "fetch_from": {"type": "str"},
        "state_path": {"type": "path", "default": "/var/lib/virt8ra"},
        "progress_path": {"type": "path"},
    }


def _disk_spec() -> Spec:
    return {
        "name": {"type": "str", "required": True},
        "size": {"type": "str"},
        "storage": {"type": "str"},
        "format": {"type": "str", "choices": list(DISK_FORMATS)},
        "bus": {"type": "str", "choices": list(DISK_BUSES)},
        "image": {"type": "str"},
        "clone": {"type": "str", "choices": list(CLONES)},
    }


def _nic_spec() -> Spec:
    return {
        "network": {"type": "str", "required": True},
        "mac": {"type": "str"},
        "model": {"type": "str", "choices": list(NIC_MODELS)},
    }


def _placement_spec() -> Spec:
    names = {"type": "list", "elements": "str"}
    grouped = {
        "type": "list",
        "elements": "dict",
        "options": {"group": {"type": "str", "required": True}, "level": {"type": "str", "choices": list(LEVELS)}},
    }
    return {
        "forbidden_countries": names,
        "allowed_providers": names,
        "forbidden_providers": names,
        "certifications": names,
        "cpu_features": names,
        "devices": {"type": "list", "elements": "dict", "options": _device_spec()},
        "groups": names,
        "anti_affinity": grouped,
        "affinity": grouped,
        "keep_together": grouped,
        "round_trips": {"type": "list", "elements": "dict", "options": _round_trip_spec()},
        "weights": {"type": "dict", "options": {name: {"type": "float"} for name in WEIGHTS}},
        "override": {
            "type": "dict",
            "options": {"hypervisor": {"type": "str", "required": True}, "reason": {"type": "str", "required": True}},
        },
        "unreadable": {"type": "str"},
    }


def _device_spec() -> Spec:
    return {
        "kind": {"type": "str", "required": True},
        "vendor": {"type": "str"},
        "product": {"type": "str"},
        "count": {"type": "int"},
    }


def _round_trip_spec() -> Spec:
    return {
        "site": {"type": "str"},
        "vm": {"type": "str"},
        "point": {"type": "str"},
        "latitude": {"type": "float"},
        "longitude": {"type": "float"},
        "max_ms": {"type": "float"},
    }
