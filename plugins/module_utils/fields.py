# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a mapping that a person (or an older version of ourselves) wrote, field by field.

Every refusal names the whole path of the key, the value and the remedy; a key that nobody asked for is refused at the end.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Callable, TypeVar

from .errors import InputError
from .sizes import parse_size

T = TypeVar("T")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")


class Fields:
    """One mapping under ``where`` (e.g. ``sites[2]``); each getter takes a key and marks it as known."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, Mapping):
            raise InputError("is not a mapping", option=where or "the document", value=data, remedy="write keys and values")
        self._data = data
        self._where = where
        self._known: list[str] = []

    def path(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def get(self, key: str, default: Any = None, *, required: bool = False) -> Any:
        """The value as it stands; null counts as not given."""
        self._known.append(key)
        value = self._data.get(key)
        if value is None:
            if required:
                raise InputError("is required but not given", option=self.path(key), remedy=f"add the key {key}")
            return default
        return value

    def text(self, key: str, default: str = "", *, required: bool = False) -> str:
        value = self.get(key, default, required=required)
        if not isinstance(value, str):
            raise InputError("is not a string", option=self.path(key), value=value, remedy="put it in quotes")
        return value

    def optional_text(self, key: str) -> str | None:
        return self.text(key) or None

    def name(self, key: str = "name") -> str:
        value = self.text(key, required=True)
        if not _NAME.match(value):
            raise InputError(
                "is not a usable name",
                option=self.path(key),
                value=value,
                remedy="use up to 63 letters, digits, dots, dashes and underscores, a letter or digit first",
            )
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value = self.text(key, default)
        if value not in choices:
            raise InputError(
                "is not one of the choices", option=self.path(key), value=value, remedy=f"use one of {', '.join(choices)}"
            )
        return value

    def boolean(self, key: str, default: bool) -> bool:
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise InputError("is not true or false", option=self.path(key), value=value, remedy="write true or false")
        return value

    def integer(self, key: str, default: int | None, minimum: int, maximum: int, *, required: bool = False) -> int:
        value = self.get(key, default, required=required)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise InputError(
                "is not a whole number in range", option=self.path(key), value=value, remedy=f"use {minimum} to {maximum}"
            )
        return value

    def number(self, key: str, minimum: float, maximum: float) -> float | None:
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not minimum <= value <= maximum:
            raise InputError("is not a number in range", option=self.path(key), value=value, remedy=f"use {minimum} to {maximum}")
        return float(value)

    def size(self, key: str, *, required: bool = False) -> int:
        """Bytes; 0 when not given and not required."""
        value = self.get(key, required=required)
        return 0 if value is None else parse_size(value, self.path(key))

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.get(key, [])
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            raise InputError("is not a list of strings", option=self.path(key), value=value, remedy="write a list of strings")
        return tuple(value)

    def text_map(self, key: str) -> dict[str, str]:
        value = self.get(key, {})
        if not isinstance(value, Mapping) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
            raise InputError(
                "is not a mapping of strings", option=self.path(key), value=value, remedy="write name: value pairs of strings"
            )
        return dict(value)

    def mappings(self, key: str) -> tuple[dict[str, Any], ...]:
        value = self.get(key, [])
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, Mapping) for item in value):
            raise InputError("is not a list of mappings", option=self.path(key), value=value, remedy="write a list of mappings")
        return tuple(dict(item) for item in value)

    def each(self, key: str, read: Callable[[Any, str], T]) -> tuple[T, ...]:
        """Every item of a list, read by ``read(item, path)``."""
        value = self.get(key, [])
        if not isinstance(value, (list, tuple)):
            raise InputError(
                "is not a list", option=self.path(key), value=value, remedy="write a list (items that start with a dash)"
            )
        return tuple(read(item, f"{self.path(key)}[{index}]") for index, item in enumerate(value))

    def finish(self) -> None:
        """Refuse what nobody asked for, with the nearest known key as the remedy."""
        for key in self._data:
            if key not in self._known:
                near = difflib.get_close_matches(str(key), self._known, n=1)
                remedy = f"did you mean {near[0]}?" if near else f"use only {', '.join(sorted(self._known))}"
                raise InputError("is not a known key", option=self.path(str(key)), remedy=remedy)


def unique(names: list[str], option: str) -> None:
    """Refuse the first name that stands twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError("is there twice", option=option, value=name, remedy="give every entry its own name")
        seen.add(name)
