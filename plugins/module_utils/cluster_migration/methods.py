# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which way a cluster takes to the other site, and why, in a sentence. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError

AUTO, WORKLOADS, DATASTORE, NODES = "auto", "workloads", "datastore", "nodes"


@dataclass(frozen=True)
class Ends:
    """What is known of both ends.

    ``vms``: nodes of the source that are VMs of the federation, of ``nodes`` in all. ``target_site``: where the nodes are to go;
    empty where a cluster is the target. ``k3s``: both ends run it. ``new_servers``: servers of the target on which nothing runs yet.
    """

    nodes: int = 0
    vms: int = 0
    target_site: str = ""
    k3s: bool = False
    new_servers: int = 0


@dataclass(frozen=True)
class Method:
    """The way and the reason for it."""

    name: str
    reason: str


def choose(asked: str, ends: Ends) -> Method:
    """The method; InputError for one that was asked for and is not possible between these ends."""
    impossible = {NODES: _not_nodes(ends), DATASTORE: _not_datastore(ends)}
    if asked != AUTO:
        if impossible.get(asked):
            raise InputError(impossible[asked], option="method", value=asked, remedy="use method workloads, or auto")
        return Method(asked, "it was asked for")
    if not impossible[NODES]:
        return Method(NODES, f"all {ends.nodes} nodes are VMs of the federation, and they move whole to {ends.target_site}")
    if not impossible[DATASTORE]:
        return Method(DATASTORE, f"both ends run k3s, and nothing runs yet on the target's {ends.new_servers} server(s)")
    return Method(WORKLOADS, f"{impossible[NODES]}, and {impossible[DATASTORE]}")


def _not_nodes(ends: Ends) -> str:
    """Why the nodes cannot move; empty where they can."""
    if not ends.target_site:
        return "no target site is given for the nodes"
    if not ends.nodes or ends.vms < ends.nodes:
        return f"{ends.vms} of {ends.nodes} nodes are VMs of the federation"
    return ""


def _not_datastore(ends: Ends) -> str:
    if not ends.k3s:
        return "not both ends run k3s"
    return "" if ends.new_servers else "the target has no new servers"
