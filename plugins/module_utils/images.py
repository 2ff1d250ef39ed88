# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images of a federation's library, as the federation file lists them.

An image of one name and version never changes: what changes is a new version. ``from_dict`` raises InputError.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .errors import InputError
from .fields import Fields, unique
from .model import DISK_FORMATS, FIRMWARES, Portable

# The logical storage whose pool holds a site's part of the library.
LIBRARY_STORAGE = "images"
IMAGE_FIRMWARES = ("any", *FIRMWARES)
URL_SCHEMES = ("https", "http", "file")
_SHA256 = re.compile(r"^[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class ImageSource(Portable):
    """Where an image comes from when no other site has it; one of: a URL, a file on the controller, the site that keeps it."""

    url: str = ""
    file: str = ""
    site: str = ""

    @classmethod
    def from_dict(cls, data: Any, where: str = "source") -> ImageSource:
        fields = Fields(data, where)
        read = cls(url=fields.text("url"), file=fields.text("file"), site=fields.text("site"))
        fields.finish()
        given = [key for key in ("url", "file", "site") if getattr(read, key)]
        if len(given) != 1:
            what = "gives no place" if not given else f"gives {' and '.join(given)}"
            raise InputError(what, option=where, remedy="give one of url, file and site")
        if read.url:
            _check_url(read.url, f"{where}.url")
        return read

    def __str__(self) -> str:
        return self.url or (f"{self.file} on the controller" if self.file else f"site {self.site}")


def _check_url(url: str, option: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in URL_SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or any(letter.isspace() or not letter.isprintable() for letter in url):
        raise InputError("is not a URL of an image", option=option, value=url, remedy="write https://, http:// or file://")
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise InputError("names no file of the hypervisor", option=option, value=url, remedy="write file:///PATH")
        return
    if not parts.hostname:
        raise InputError("names no host", option=option, value=url, remedy="write https://HOST/PATH")
    if parts.username is not None:
        # The value stays out of the sentence.
        remedy = "serve the image without, as its digest is checked, or give it as a file"
        raise InputError("holds a user name or password, which every listing would show", option=option, remedy=remedy)


@dataclass(frozen=True)
class Image(Portable):
    """``size`` is that of the file in bytes, 0 where nobody knows it; ``os_variant`` is libosinfo's id, free text."""

    name: str
    version: str
    sha256: str
    source: ImageSource
    format: str = "qcow2"
    size: int = 0
    os_variant: str = ""
    architecture: str = "x86_64"
    firmware: str = "any"

    @classmethod
    def from_dict(cls, data: Any, where: str = "image") -> Image:
        fields = Fields(data, where)
        read = cls(
            name=fields.name(),
            version=fields.name("version"),
            sha256=fields.text("sha256", required=True).lower(),
            source=ImageSource.from_dict(fields.get("source", required=True), fields.path("source")),
            format=fields.choice("format", DISK_FORMATS, "qcow2"),
            # As to_dict writes what nobody knows, and as a module's option gives it.
            size=0 if fields.get("size") in (0, "0") else fields.size("size"),
            os_variant=fields.text("os_variant"),
            architecture=fields.text("architecture", "x86_64"),
            firmware=fields.choice("firmware", IMAGE_FIRMWARES, "any"),
        )
        fields.finish()
        if not _SHA256.match(read.sha256):
            remedy = "write the 64 hexadecimal digits that sha256sum tells"
            raise InputError("is not a SHA-256 digest", option=fields.path("sha256"), value=read.sha256, remedy=remedy)
        return read

    @property
    def reference(self) -> str:
        """``name:version``, as disks name it."""
        return f"{self.name}:{self.version}"

    @property
    def volume(self) -> str:
        return volume_name(self.name, self.version, self.format)


def volume_name(name: str, version: str, format: str) -> str:
    """The volume that holds an image, in every library."""
    return f"{name}-{version}.{format}"


def check_images(images: Sequence[Image], sites: Iterable[str], option: str) -> None:
    """Refuse two images of one name and version, or of one volume, and a source site that the federation does not have."""
    unique([image.reference for image in images], f"{option}[].name")
    unique([volume_name(image.name, image.version, "") for image in images], f"{option}[].name")
    known = sorted(sites)
    for number, image in enumerate(images):
        if image.source.site and image.source.site not in known:
            raise InputError(
                "is not a site of the federation",
                option=f"{option}[{number}].source.site",
                value=image.source.site,
                remedy=f"use one of {', '.join(known) or 'none'}",
            )


def newest_first(images: Iterable[Image]) -> list[Image]:
    """By name, and of each name the newest version first."""
    ordered = sorted(images, key=lambda image: version_key(image.version), reverse=True)
    return sorted(ordered, key=lambda image: image.name)


def version_key(version: str) -> list[tuple[int, int, str]]:
    """Versions compare number by number: 12.10 is newer than 12.9, and 20260101 than 20251231."""
    parts = re.split(r"(\d+)", version)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part]


def with_folder(images: Iterable[Image], folder: str) -> tuple[Image, ...]:
    """The images with files on the controller that are written relative to this folder made absolute."""
    return tuple(
        dataclasses.replace(
            image, source=ImageSource(file=posixpath.normpath(posixpath.join(folder, posixpath.expanduser(image.source.file))))
        )
        if image.source.file
        else image
        for image in images
    )


def split_reference(reference: str) -> tuple[str, str]:
    """``(name, version)`` of ``name:version``; the version is empty in ``name``, which means the newest."""
    name, _colon, version = reference.partition(":")
    return name, version
