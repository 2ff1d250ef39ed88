# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine is made with: what goes along and how, and the way of the data. Shapes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Protocol

from ..backends.cluster import Object
from .course import Course
from .cutover import Volumes

Report = Callable[[str, dict[str, Any]], None]


class Plan(Protocol):
    """What preflight found; ``blockers`` have a ``message`` each."""

    @property
    def blockers(self) -> Sequence[Any]: ...

    @property
    def warnings(self) -> Sequence[str]: ...

    def to_dict(self) -> dict[str, Any]: ...


class SeededVolumes(Volumes, Protocol):
    """The data of the claims, before the cutover too."""

    def seed(self) -> int:
        """While the application runs; gives the bytes that were copied."""


class Preparation(Protocol):
    """What goes along and how: the pure parts, for one request between two clusters."""

    namespaces: Sequence[str]
    mapping: Mapping[str, Any]
    objects: Mapping[str, int]

    def plan(self, blockers: Sequence[str]) -> Plan:
        """After the source was read; with what the engine itself found to stand in the way: conflicts, and rights that lack."""

    def read(self, items: Any) -> None:
        """Every object of the source, once."""

    def clean(self, item: Object) -> Object | None:
        """The object for the target; None for what is not carried."""

    def stage(self, item: Object) -> int:
        """Its place in the order."""

    def excluded(self) -> Sequence[str]:
        """Kinds that stay."""


@dataclass(frozen=True)
class Parts:
    """What the engine is made with: the request's pure parts, and the way of the volumes' data for a run."""

    prepare: Callable[[Sequence[str] | None], Preparation]
    volumes: Callable[[Course, Callable[[], None], Report], SeededVolumes]
