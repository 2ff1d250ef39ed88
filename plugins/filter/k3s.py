# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the Nodes of a cluster tell, for tasks that wait for them."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.virt8ra.federation.plugins.module_utils.k3s import NodeState, hindrance


def k3s_nodes(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each Node as ``NodeState.to_dict`` gives it."""
    return [NodeState.from_object(node).to_dict() for node in nodes]


def k3s_hindrance(nodes: list[dict[str, Any]], names: list[str]) -> str:
    """Why the nodes ``names`` must not be stopped now; empty when they may."""
    return hindrance([NodeState.from_object(node) for node in nodes], list(names))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"k3s_nodes": k3s_nodes, "k3s_hindrance": k3s_hindrance}
