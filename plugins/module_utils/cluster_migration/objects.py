# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where things are in a cluster's objects: groups, owners, pod specs, images; and copies of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..backends.cluster import Object

# Where the pod spec of each kind is that makes pods, or is one.
_PATHS = {
    ("", "Pod"): ("spec",),
    ("", "PodTemplate"): ("template", "spec"),
    ("", "ReplicationController"): ("spec", "template", "spec"),
    ("apps", "Deployment"): ("spec", "template", "spec"),
    ("apps", "ReplicaSet"): ("spec", "template", "spec"),
    ("apps", "StatefulSet"): ("spec", "template", "spec"),
    ("apps", "DaemonSet"): ("spec", "template", "spec"),
    ("batch", "Job"): ("spec", "template", "spec"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template", "spec"),
}
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
INGRESS_CLASS = "kubernetes.io/ingress.class"
# The API server's own mount of a ServiceAccount's token, as it puts it into every pod; in old clusters it was a Secret.
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_VOLUME = re.compile(r"^kube-api-access-[a-z0-9]{5}\Z")


def copied(value: Any) -> Any:
    """A deep copy of what came of JSON; several times as quick as ``copy.deepcopy``, which also looks for what is shared."""
    if isinstance(value, dict):
        return {key: copied(each) if isinstance(each, (dict, list)) else each for key, each in value.items()}
    if isinstance(value, list):
        return [copied(each) if isinstance(each, (dict, list)) else each for each in value]
    return value


def group_of(item: Mapping[str, Any]) -> str:
    """The API group; empty for the core group."""
    return str(item.get("apiVersion", "")).rpartition("/")[0]


def sort_of(item: Mapping[str, Any]) -> tuple[str, str]:
    """``(group, kind)``, whatever the version."""
    return group_of(item), str(item["kind"])


def name_of(item: Object) -> str:
    """``shop/web``, or ``web`` for what has no namespace."""
    metadata = item["metadata"]
    namespace = metadata.get("namespace", "")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def shown(item: Object) -> str:
    """``Deployment shop/web``."""
    return f"{item['kind']} {name_of(item)}"


def spec_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """The very spec of the object, or an empty one."""
    return part(item, "spec")


def part(item: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The mapping under these keys, the very one of the object; an empty one where it is not."""
    found: Any = item
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, dict) else {}


def listed(item: Mapping[str, Any], *keys: str) -> list[Any]:
    """The list under these keys, the very one of the object; an empty one where it is not."""
    found = part(item, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, list) else []


def labels_of(item: Object) -> dict[str, str]:
    return part(item, "metadata", "labels")


def annotations_of(item: Object) -> dict[str, str]:
    return part(item, "metadata", "annotations")


def owners_of(item: Object) -> tuple[dict[str, Any], ...]:
    return tuple(listed(item, "metadata", "ownerReferences"))


def pod_spec(item: Object) -> dict[str, Any]:
    """The very pod spec in it; an empty one for what makes no pods by itself, custom resources among it."""
    path = _PATHS.get(sort_of(item))
    return part(item, *path) if path else {}


def containers(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All containers of a pod spec, the init and ephemeral ones too."""
    for key in _CONTAINERS:
        yield from (one for one in listed(spec, key) if isinstance(one, dict))


def images_of(spec: Mapping[str, Any]) -> set[str]:
    """The images of a pod spec, those of image volumes too."""
    found = {str(one["image"]) for one in containers(spec) if one.get("image")}
    volumes = (part(volume, "image").get("reference") for volume in listed(spec, "volumes") if isinstance(volume, dict))
    return found | {str(reference) for reference in volumes if reference}


def is_token_volume(volume: Mapping[str, Any], account: str) -> bool:
    """Whether the API server put it into the pod of this ServiceAccount, to bring it its token."""
    name = str(volume.get("name", ""))
    if _TOKEN_VOLUME.match(name):
        return "projected" in volume
    return "secret" in volume and is_token_name(name, account)


def is_token_name(name: str, account: str) -> bool:
    """Whether a Secret of that name was made by the cluster for this ServiceAccount, as old clusters did by themselves."""
    return bool(re.match(rf"^{re.escape(account)}-(token|dockercfg)-[a-z0-9]{{5}}\Z", name))
