# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the options of the modules image and image_info to what they return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ..backends.libvirt.image_pool import ImagePool
from ..errors import InputError
from ..images import Image
from ..model import Site
from ..progress import ProgressFile
from .library import Brought, Library
from .nearest import Peer, peers_of

_IMAGE_KEYS = ("name", "version", "sha256", "format", "size", "os_variant", "architecture", "firmware")
Connect = Callable[..., Any]


def list_images(params: Mapping[str, Any], site: Site, connect: Connect) -> list[dict[str, Any]]:
    """What is in the library here, of one name where the option ``name`` gives one."""
    library = _library(params, site, connect, ProgressFile(None))
    return [image for image in library.listing() if params["name"] in (None, image["name"])]


def carry_out(params: Mapping[str, Any], site: Site, connect: Connect, progress: ProgressFile, *, check: bool) -> dict[str, Any]:
    """The result of the module image; bad input is refused before the hypervisor is asked."""
    keep = params["keep"]
    if keep is not None and keep < 1:
        raise InputError("keeps nothing", option="keep", value=keep, remedy="use 1 or more, or state absent with a version")
    if params["state"] == "present":
        image = read_image(params)
        peers = read_peers(params, site)
        return _present(_library(params, site, connect, progress), image, peers, params, check)
    return _absent(_library(params, site, connect, progress), params, check)


def read_image(params: Mapping[str, Any]) -> Image:
    """The image that the options describe; those of the module have the keys of ``Image``."""
    given = {key: params[key] for key in _IMAGE_KEYS if params[key] is not None}
    given["source"] = {key: value for key, value in (params["source"] or {}).items() if value}
    return Image.from_dict(given, "")


def read_peers(params: Mapping[str, Any], site: Site) -> list[Peer]:
    sites = [Site.from_dict(one, f"peers[{number}]") for number, one in enumerate(params["peers"])]
    return peers_of(sites, params["hypervisor"], site, params["storage"])


def _library(params: Mapping[str, Any], site: Site, connect: Connect, progress: ProgressFile) -> Library:
    local = site.local_storage(params["storage"], "storage")
    return Library(ImagePool(connect(), local, params["storage"]), params["state_path"], connect, progress.report, progress.path)


def _present(library: Library, image: Image, peers: list[Peer], params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    brought = library.bring(image, peers, verify=params["verify"], pushed=params["pushed_path"] or "", check=check)
    result: dict[str, Any] = {"changed": brought.changed, "fetched_from": brought.fetched_from, "removed": [], "in_use": {}}
    if brought.push:
        result["push"] = brought.push
        return result
    if brought.record is not None:
        result["image"] = library.described(brought.record)
    if params["keep"] is not None:
        result["removed"], result["in_use"] = library.prune(image.name, params["keep"], brought=image.version, check=check)
        result["changed"] = result["changed"] or bool(result["removed"])
    result["diff"] = _diff(image.name, image.reference, brought, result["removed"])
    return result


def _diff(name: str, reference: str, brought: Brought, removed: list[str]) -> dict[str, dict[str, Any]]:
    gone = {f"{name}:{version}": "present" for version in removed}
    before = {reference: brought.state, **gone} if brought.state != "absent" else gone
    return {"before": before, "after": {reference: "present"}}


def _absent(library: Library, params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    name, version = params["name"], params["version"]
    if version is not None and params["keep"] is not None:
        remedy = "give keep to remove old versions, or version to remove this one"
        raise InputError("does not go with a version that shall be absent", option="keep", value=params["keep"], remedy=remedy)
    in_use: dict[str, list[str]] = {}
    if version is None:
        removed, in_use = library.prune(name, params["keep"], check=check)
    else:
        removed = [version] if library.remove(name, version, check=check) else []
    gone = {f"{name}:{one}": "present" for one in removed}
    return {"changed": bool(removed), "removed": removed, "in_use": in_use, "diff": {"before": gone, "after": {}}}
