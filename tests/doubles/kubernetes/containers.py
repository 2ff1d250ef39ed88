# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a pod's spec says about its containers, as the sandbox needs it: mounts, environment, identity, commands."""

from __future__ import annotations

import base64
import contextlib
import shutil
from pathlib import Path
from typing import Any

from .sandbox import Identity, Mount
from .statuses import ApiError
from .store import Store

Object = dict[str, Any]


def is_busybox(image: str) -> bool:
    """Whether the double can run an image's commands for real; all other images only seem to run."""
    return "busybox" in image.rsplit("/", 1)[-1]


def all_of(pod: Object) -> list[Object]:
    return list(pod["spec"].get("containers") or [])


def the_one(pod: Object, name: str) -> Object:
    """The container asked for, or the only one, or that of the annotation."""
    containers = all_of(pod)
    if not name:
        name = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container", "")
    if not name:
        if len(containers) > 1:
            names = " ".join(each["name"] for each in containers)
            raise ApiError(400, f"a container name must be specified for pod {pod['metadata']['name']}, choose one of: [{names}]")
        return containers[0]
    for each in containers:
        if each["name"] == name:
            return each
    raise ApiError(400, f"container {name} is not valid for pod {pod['metadata']['name']}")


def volume_of(store: Store, namespace: str, claim: str) -> str:
    """The name of the PersistentVolume that a claim is bound to; empty when it is not."""
    found = store.get(("", "persistentvolumeclaims"), namespace, claim)
    return str(found.obj["spec"].get("volumeName", "")) if found else ""


def claims(pod: Object) -> list[tuple[str, bool]]:
    """``(claim, whether any container writes to it)``."""
    found = []
    for volume in pod["spec"].get("volumes") or []:
        source = volume.get("persistentVolumeClaim")
        if not source:
            continue
        writes = not source.get("readOnly") and any(
            mount["name"] == volume["name"] and not mount.get("readOnly")
            for container in [*all_of(pod), *(pod["spec"].get("initContainers") or [])]
            for mount in container.get("volumeMounts") or []
        )
        found.append((source["claimName"], writes))
    return found


def _filled(store: Store, folder: Path, namespace: str, what: str, name: str, items: list[Object] | None, mode: int) -> None:
    """The files of a ConfigMap or a Secret."""
    found = store.get(("", what), namespace, name)
    if found is None:
        return
    data = {key: str(value).encode() for key, value in (found.obj.get("data") or {}).items()}
    if what == "secrets":
        data = {key: base64.b64decode(value) for key, value in data.items()}
    data.update({key: base64.b64decode(value) for key, value in (found.obj.get("binaryData") or {}).items()})
    wanted = {item["key"]: item["path"] for item in items} if items else {key: key for key in data}
    for key, path in wanted.items():
        if key in data:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data[key])
            (folder / path).chmod(mode)


def sources(store: Store, pod: Object, home: Path, volumes: Path) -> dict[str, tuple[Path, bool]]:
    """Volume's name to ``(folder, read-only)``; folders are made and filled."""
    found: dict[str, tuple[Path, bool]] = {}
    namespace = pod["metadata"]["namespace"]
    for volume in pod["spec"].get("volumes") or []:
        name, own = volume["name"], home / "volumes" / volume["name"]
        claim = volume.get("persistentVolumeClaim")
        if claim:
            bound = volume_of(store, namespace, claim["claimName"])
            if not bound:
                raise ApiError(500, f"persistentvolumeclaim {claim['claimName']} is not bound")
            own = volumes / bound
        own.mkdir(parents=True, exist_ok=True)
        for what, key, plural in (("configMap", "name", "configmaps"), ("secret", "secretName", "secrets")):
            if volume.get(what):
                mode = volume[what].get("defaultMode", 0o644)
                _filled(store, own, namespace, plural, volume[what].get(key, ""), volume[what].get("items"), mode)
        for source in (volume.get("projected") or {}).get("sources") or []:
            if source.get("configMap"):
                _filled(store, own, namespace, "configmaps", source["configMap"]["name"], source["configMap"].get("items"), 0o644)
        found[name] = (own, bool(claim and claim.get("readOnly")))
    return found


def mounts(container: Object, found: dict[str, tuple[Path, bool]]) -> list[Mount]:
    made = []
    for each in container.get("volumeMounts") or []:
        folder, read_only = found[each["name"]]
        if each.get("subPath"):
            folder = folder / each["subPath"]
            if not folder.exists():
                folder.mkdir(parents=True)
        if folder.is_dir():
            made.append(Mount(folder, each["mountPath"].rstrip("/") or "/", read_only or bool(each.get("readOnly"))))
    return sorted(made, key=lambda each: each.path)


def env(store: Store, pod: Object, container: Object) -> dict[str, str]:
    namespace, values = pod["metadata"]["namespace"], {}
    for each in container.get("envFrom") or []:
        for what, plural in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            if each.get(what):
                values.update(
                    {
                        each.get("prefix", "") + key: text
                        for key, text in _data(store, plural, namespace, each[what]["name"]).items()
                    }
                )
    for each in container.get("env") or []:
        source = each.get("valueFrom") or {}
        text = each.get("value") or ""
        for what, plural in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if source.get(what):
                text = _data(store, plural, namespace, source[what]["name"]).get(source[what]["key"], "")
        if source.get("fieldRef"):
            text = str(_at(pod, source["fieldRef"]["fieldPath"]))
        values[each["name"]] = text
    return values


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    return value


def _data(store: Store, plural: str, namespace: str, name: str) -> dict[str, str]:
    found = store.get(("", plural), namespace, name)
    data = dict(found.obj.get("data") or {}) if found else {}
    if plural == "secrets":
        data = {key: base64.b64decode(text).decode(errors="replace") for key, text in data.items()}
    return data


def identity(pod: Object, container: Object) -> Identity:
    whole, own = pod["spec"].get("securityContext") or {}, container.get("securityContext") or {}
    user = own.get("runAsUser", whole.get("runAsUser", 0))
    group = own.get("runAsGroup", whole.get("runAsGroup", 0))
    groups = [*(whole.get("supplementalGroups") or []), *([whole["fsGroup"]] if whole.get("fsGroup") is not None else [])]
    return Identity(int(user), int(group), tuple(groups), bool(own.get("privileged")))


def command(container: Object) -> list[str]:
    """What its first process is: its own command for busybox, else nothing but a long sleep."""
    if is_busybox(container["image"]) and (container.get("command") or container.get("args")):
        return [*(container.get("command") or []), *(container.get("args") or [])]
    return ["/bin/busybox", "sleep", "2147483647"]


def clear(folder: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
