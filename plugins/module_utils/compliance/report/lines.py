# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON with one entry a line: small, quick to write, and its diffs are readable. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ...errors import InputError

_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, allow_nan=False)
# Halves of pairs, which no file can hold, and what turns the reading direction in an editor.
_ESCAPED = re.compile("[\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def compact(value: Any) -> str:
    """On one line, keys sorted."""
    return _ENCODER.encode(value)


def lines(document: Mapping[str, Any], depth: int) -> str:
    """The document; mappings and lists down to ``depth`` have their entries on lines of their own. InputError for what JSON has not."""
    try:
        text = _lines(document, depth, "")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"cannot be written as JSON ({error})", option="report", remedy="give strings, numbers, lists and mappings"
        ) from None
    if not text.isascii():
        text = _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text + "\n"


def _lines(value: Any, depth: int, indent: str) -> str:
    if not depth or not isinstance(value, (dict, list, tuple)) or not value:
        return compact(value)
    inner = indent + " "
    if isinstance(value, dict):
        entries = [f"{inner}{compact(str(key))}: {_lines(value[key], depth - 1, inner)}" for key in sorted(value)]
        opened, closed = "{}"
    else:
        entries = [inner + _lines(item, depth - 1, inner) for item in value]
        opened, closed = "[]"
    return f"{opened}\n" + ",\n".join(entries) + f"\n{indent}{closed}"
