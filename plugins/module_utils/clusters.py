# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clusters and their nodes as the federation file declares them, and where their kubeconfigs are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .fields import Fields
from .portable import Portable

NODE_ROLES = ("server", "agent")


@dataclass(frozen=True)
class Node(Portable):
    """A member of a cluster."""

    name: str
    address: str
    role: str

    @classmethod
    def from_dict(cls, data: Any, where: str = "node") -> Node:
        fields = Fields(data, where)
        name = fields.name()
        read = cls(name=name, address=fields.text("address", name), role=fields.choice("role", NODE_ROLES, "agent"))
        fields.finish()
        return read


@dataclass(frozen=True)
class Cluster(Portable):
    """A k3s/Kubernetes cluster and its declared members.

    ``kubeconfig`` is a path, relative to the federation file as written, ``context`` one in it (empty: the current one).
    """

    name: str
    endpoint: str
    kubeconfig: str = ""
    context: str = ""
    nodes: tuple[Node, ...] = ()

    @classmethod
    def from_dict(cls, data: Any, where: str = "cluster") -> Cluster:
        fields = Fields(data, where)
        read = cls(
            name=fields.name(),
            endpoint=fields.text("endpoint"),
            kubeconfig=fields.text("kubeconfig"),
            context=fields.text("context"),
            nodes=fields.each("nodes", Node.from_dict),
        )
        fields.finish()
        return read


def located(cluster: Cluster, folder: Path, kubeconfig_path: str, exists: Callable[[Path], bool] = Path.is_file) -> Cluster:
    """The cluster with the absolute path of its kubeconfig; without one it stays without.

    :param folder: of the federation file; relative paths begin there
    :param kubeconfig_path: folder in which ``<cluster>.kubeconfig`` is looked for when the cluster's entry names none; or one kubeconfig of
        all clusters, with a context for each, where it is a file that has something in it
    """
    if cluster.kubeconfig:
        return dataclasses.replace(cluster, kubeconfig=str(folder / Path(cluster.kubeconfig).expanduser()))
    if not kubeconfig_path:
        return cluster
    place = folder / Path(kubeconfig_path).expanduser()
    if place.is_file():
        whole = place.stat().st_size > 0
        return dataclasses.replace(cluster, kubeconfig=str(place), context=cluster.context or cluster.name) if whole else cluster
    candidate = place / f"{cluster.name}.kubeconfig"
    return dataclasses.replace(cluster, kubeconfig=str(candidate)) if exists(candidate) else cluster
