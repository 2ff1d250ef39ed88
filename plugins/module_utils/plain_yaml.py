# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""YAML as configuration files have it, for hosts that have no PyYAML: read as PyYAML reads it, or refused.

What is read: one document of block mappings and sequences, scalars and flow collections on one line, comments. What is refused:
tabs, anchors, tags, block scalars, scalars over several lines, merge keys, dates, and numbers other than plain ones.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **{written: True for word in ("yes", "true", "on") for written in (word, word.capitalize(), word.upper())},
    **{written: False for word in ("no", "false", "off") for written in (word, word.capitalize(), word.upper())},
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OCTAL = re.compile(r"0[0-7]+")
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]*")
# What YAML takes for a number or a time in another way, the value key, the merge key.
_ODD = re.compile(
    r"[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?[1-9][0-9_]*|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?|=|<<"
)
_DOUBLE = re.compile(r'"(?:[^"\\]|\\["\\/nt])*"')
_SINGLE = re.compile(r"'(?:[^']|'')*'")
_KEY = re.compile(
    rf"(?P<key>{_DOUBLE.pattern}|{_SINGLE.pattern}|[^\s\"'#&*!|>%@`\[\]{{}},?:-](?:[^#]|(?<=\S)#)*?)\s*:(?: +(?P<rest>.*))?"
)
_IN_FLOW = re.compile(r"[^\s,\[\]{}\"'#&*!|>%@`?:-](?:[^,\[\]{}:#?]|:(?=[^\s,\[\]{}])|(?<=\S)#)*")
_SPECIAL = tuple("&*!|>%@`\"'#,[]{}")
_DEEPEST = 32


class NotPlain(ValueError):
    """There is what is not read here, or what is no YAML; the message is the line, as ``line 3``."""


@dataclass(frozen=True)
class _Line:
    number: int
    indent: int
    text: str


def read(text: str) -> Any:
    """The document's content, None for an empty one; NotPlain."""
    reader = _Reader(_lines(text))
    content = reader.node(reader.here.indent, 0) if reader.here else None
    if reader.here:
        raise NotPlain(f"line {reader.here.number}")
    return content


def _lines(text: str) -> list[_Line]:
    found: list[_Line] = []
    for number, written in enumerate(text.split("\n"), 1):
        line = written.rstrip(" \r")
        stripped = line.lstrip(" ")
        comment = stripped.startswith("#")
        if not (line.replace("\t", " ") if comment else line).isprintable():
            raise NotPlain(f"line {number}")
        if not stripped or comment or (line == "---" and not found):
            continue
        if line.startswith(("---", "...", "%")):
            raise NotPlain(f"line {number}")
        found.append(_Line(number, len(line) - len(stripped), stripped))
    return found


def _is_item(line: _Line) -> bool:
    return line.text == "-" or line.text.startswith("- ")


class _Reader:
    """The lines that are left; every method begins at the first of them, and leaves what follows its node."""

    def __init__(self, lines: list[_Line]) -> None:
        self._lines = lines[::-1]

    @property
    def here(self) -> _Line | None:
        return self._lines[-1] if self._lines else None

    def node(self, indent: int, depth: int) -> Any:
        line = self._lines[-1]
        if depth > _DEEPEST:
            raise NotPlain(f"line {line.number}")
        if _is_item(line):
            return self._sequence(indent, depth)
        if line.text[0] not in "[{" and _KEY.fullmatch(line.text):
            return self._mapping(indent, depth)
        self._lines.pop()
        return _inline(line.text, line.number)

    def _mapping(self, indent: int, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        while self.here and self.here.indent == indent and not _is_item(self.here):
            line = self._lines.pop()
            entry = _KEY.fullmatch(line.text)
            if entry is None:
                raise NotPlain(f"line {line.number}")
            key, rest = _inline(entry["key"], line.number), entry["rest"] or ""
            found[key] = self._below(indent, depth, True) if not rest or rest[0] == "#" else _inline(rest, line.number)
        self._check_end(indent)
        return found

    def _sequence(self, indent: int, depth: int) -> list[Any]:
        found: list[Any] = []
        while self.here and self.here.indent == indent and _is_item(self.here):
            line = self._lines.pop()
            rest = line.text[1:].lstrip(" ")
            if not rest or rest[0] == "#":
                found.append(self._below(indent, depth, False))
                continue
            # What stands behind the dash is a node of its own, further in.
            inner = indent + len(line.text) - len(rest)
            self._lines.append(_Line(line.number, inner, rest))
            found.append(self.node(inner, depth + 1))
        self._check_end(indent)
        return found

    def _check_end(self, indent: int) -> None:
        if self.here and self.here.indent > indent:
            raise NotPlain(f"line {self.here.number}")

    def _below(self, indent: int, depth: int, same: bool) -> Any:
        """The node under a key or a dash; the items of a key may be as far in as the key itself (``same``)."""
        if self.here and (self.here.indent > indent or (same and self.here.indent == indent and _is_item(self.here))):
            return self.node(self.here.indent, depth + 1)
        return None


def _inline(text: str, number: int) -> Any:
    """A value that is on one line, with a comment after it perhaps."""
    if text[0] in "[{\"'":
        value, end = _flow(text, 0, number, 0)
        if not re.fullmatch(r" *| +#.*", text[end:]):
            raise NotPlain(f"line {number}")
        return value
    return _plain(text.partition(" #")[0].rstrip(" "), number)


def _plain(text: str, number: int) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text, 8)
    if _FLOAT.fullmatch(text):
        return float(text)
    odd = text.startswith(_SPECIAL) or re.match(r"[-?:](?: |\Z)", text) or re.search(r":(?: |\Z)", text)
    if odd or _ODD.fullmatch(text):
        raise NotPlain(f"line {number}")
    return text


def _flow(text: str, at: int, number: int, depth: int) -> tuple[Any, int]:
    """A value that begins at this place, and where it ends."""
    fault = NotPlain(f"line {number}")
    if depth > _DEEPEST:
        raise fault
    opening = text[at : at + 1]
    if opening in ("[", "{"):
        return _collection(text, at + 1, number, depth)
    for pattern in (_DOUBLE, _SINGLE, _IN_FLOW):
        found = pattern.match(text, at)
        if found is not None:
            written = found[0].rstrip(" ")
            if pattern is _DOUBLE:
                return json.loads(written), found.end()
            return (written[1:-1].replace("''", "'") if pattern is _SINGLE else _plain(written, number)), found.end()
    raise fault


def _collection(text: str, at: int, number: int, depth: int) -> tuple[Any, int]:
    """What follows ``[`` or ``{``, up to and with its end."""
    fault = NotPlain(f"line {number}")
    mapping, end = text[at - 1] == "{", "}" if text[at - 1] == "{" else "]"
    items: list[Any] = []
    pairs: dict[Any, Any] = {}
    at = _after_blanks(text, at)
    while text[at : at + 1] != end:
        value, at = _flow(text, at, number, depth + 1)
        at = _after_blanks(text, at)
        if mapping:
            if text[at : at + 2] != ": " or isinstance(value, (dict, list)):
                raise fault
            pairs[value], at = _flow(text, _after_blanks(text, at + 1), number, depth + 1)
            at = _after_blanks(text, at)
        else:
            items.append(value)
        if text[at : at + 1] == ",":
            at = _after_blanks(text, at + 1)
        elif text[at : at + 1] != end:
            raise fault
    return (pairs if mapping else items), at + 1


def _after_blanks(text: str, at: int) -> int:
    while text[at : at + 1] == " ":
        at += 1
    return at
