# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shapes that values of cloud-init's files may have. A refusal names the path of the key and never shows the value: it may be a secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Callable, NoReturn

from ..errors import InputError

Shape = Callable[[Any, str], None]


def refuse(what: str, where: str, remedy: str) -> NoReturn:
    raise InputError(what, option=where, remedy=remedy)


def text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        refuse("is not a string", where, "put it in quotes")


def flag(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        refuse("is not true or false", where, "write true or false, without quotes")


def whole(value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        refuse("is not a whole number", where, "write a number from 0, without quotes")


def mapping(value: Any, where: str) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        refuse("is not a mapping", where, "write keys and values")


def anything(value: Any, where: str) -> None:
    """Left to cloud-init."""


def nothing(value: Any, where: str) -> None:
    if value is not None:
        refuse("is not empty", where, "leave its value out")


def absolute_path(value: Any, where: str) -> None:
    text(value, where)
    if not value.startswith("/"):
        refuse("is not an absolute path", where, "begin it with a slash")


def choice(*choices: Any) -> Shape:
    def check(value: Any, where: str) -> None:
        # By type as well: True equals 1.
        if not any(type(value) is type(one) and value == one for one in choices):
            refuse("is not one of the choices", where, f"use one of {', '.join(_shown(one) for one in choices)}")

    return check


def _shown(choice: Any) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)


def matching(pattern: str, what: str, remedy: str) -> Shape:
    expression = re.compile(pattern)

    def check(value: Any, where: str) -> None:
        text(value, where)
        if not expression.fullmatch(value):
            refuse(f"is not {what}", where, remedy)

    return check


def list_of(shape: Shape, *, empty: bool = False) -> Shape:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, (list, tuple)):
            refuse("is not a list", where, "write a list (items that start with a dash)")
        if not value and not empty:
            refuse("is an empty list", where, "leave it out, or write an item")
        for index, item in enumerate(value):
            shape(item, f"{where}[{index}]")

    return check


def mapping_of(shape: Shape) -> Shape:
    def check(value: Any, where: str) -> None:
        mapping(value, where)
        for key, item in value.items():
            shape(item, f"{where}.{key}")

    return check


def keys(known: Mapping[str, Shape], required: Iterable[str] = ()) -> Shape:
    """A mapping with these keys and no others."""

    def check(value: Any, where: str) -> None:
        mapping(value, where)
        known_only(value, where, known)
        for key in required:
            if key not in value:
                refuse("is required but not given", f"{where}.{key}", f"add the key {key}")
        for key, item in value.items():
            known[key](item, f"{where}.{key}")

    return check


def known_only(value: Mapping[str, Any], where: str, known: Iterable[str]) -> None:
    listed = sorted(known)
    for key in value:
        if key not in listed:
            near = difflib.get_close_matches(key, listed, n=1)
            short = f"use one of {', '.join(listed)}" if len(listed) <= 20 else "see cloud-init's list of modules"
            refuse("is not a known key", f"{where}.{key}", f"did you mean {near[0]}?" if near else short)


def either(words: str, **by_type: Shape) -> Shape:
    """One shape for each type of value: ``text``, ``flag``, ``whole``, ``items``, ``mapping`` and ``none``; ``words`` says what is allowed."""

    def check(value: Any, where: str) -> None:
        shape = by_type.get(_kind(value))
        if shape is None:
            refuse(f"is not {words}", where, f"write {words}")
        shape(value, where)

    return check


def _kind(value: Any) -> str:
    if value is None:
        return "none"
    # In this order: true and false are numbers too.
    kinds: tuple[tuple[str, tuple[type, ...]], ...] = (
        ("flag", (bool,)),
        ("text", (str,)),
        ("whole", (int,)),
        ("items", (list, tuple)),
        ("mapping", (Mapping,)),
    )
    return next((kind for kind, types in kinds if isinstance(value, types)), "")
