# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What k3s is told: configuration file and its drop-ins, flags, environment; a flag wins over the file, the file over the environment.

There is no YAML in the standard library: of a configuration file, the flat form that k3s itself asks for is read, a mapping of
names to scalars or lists of scalars. Anything else ends the process, as broken YAML does with k3s.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import flags, log

CONFIG = "/etc/rancher/k3s/config.yaml"
_KEY = re.compile(r"""(?P<key>"[^"]*"|'[^']*'|[A-Za-z0-9_.+-]+)\s*:(?:\s+(?P<value>.*))?$""")


class Settings:
    """Options by name; lists are lists, switches are ``true`` or ``false``."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def one(self, name: str, default: str = "") -> str:
        value = self._values.get(name, default)
        return str(value[-1] if isinstance(value, list) else value)

    def many(self, name: str) -> list[str]:
        value = self._values.get(name, [])
        return [part for each in (value if isinstance(value, list) else [value]) for part in str(each).split(",") if part]

    def whole(self, name: str) -> list[str]:
        """A list whose items may hold commas."""
        value = self._values.get(name, [])
        return [str(each) for each in (value if isinstance(value, list) else [value])]

    def on(self, name: str) -> bool:
        return self.one(name, "false").lower() in ("true", "1", "t", "")

    def arguments(self) -> list[str]:
        """As k3s notes them on the node; secrets as it hides them."""
        told: list[str] = []
        for name, value in self._values.items():
            for each in value if isinstance(value, list) else [value]:
                told += [f"--{name}", "********" if "token" in name or "s3-" in name else str(each)]
        return told


def _unquoted(text: str, where: str) -> str:
    text = text.strip()
    if text[:1] == '"':
        found = re.fullmatch(r'("(?:[^"\\]|\\.)*")\s*(#.*)?', text)
        if not found:
            log.fatal(f"yaml: {where}: found unexpected end of stream")
        return found[1][1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if text[:1] == "'":
        found = re.fullmatch(r"('(?:[^']|'')*')\s*(#.*)?", text)
        if not found:
            log.fatal(f"yaml: {where}: found unexpected end of stream")
        return found[1][1:-1].replace("''", "'")
    if text[:1] in ("{", "|", ">", "&", "*", "!"):
        log.fatal(f"yaml: {where}: this stand-in reads scalars and lists of scalars only")
    plain = re.split(r"\s+#", text)[0].strip()
    return {"True": "true", "False": "false", "yes": "true", "no": "false"}.get(plain, plain)


def _value(text: str, where: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return [_unquoted(part, where) for part in text[1:-1].split(",") if part.strip()]
    return _unquoted(text, where)


def read(path: Path) -> dict[str, Any]:
    """The options of one file, in their order."""
    read_so_far: dict[str, Any] = {}
    current = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"line {number}"
        if not line.strip() or line.lstrip().startswith("#") or line.strip() in ("---", "..."):
            continue
        item = re.match(r"\s*-\s+(.*)$", line)
        if item and current:
            if not isinstance(read_so_far[current], list):
                read_so_far[current] = []
            read_so_far[current].append(_unquoted(item[1], where))
            continue
        found = _KEY.match(line)
        if not found:
            log.fatal(f"yaml: {where}: could not find expected ':'")
        current = found["key"].strip("\"'")
        read_so_far[current] = _value((found["value"] or "").strip(), where)
    return read_so_far


def from_files(path: Path) -> dict[str, Any]:
    """A file with its drop-ins, ``<file>.d/*.yaml`` by name; a later value wins, one under ``name+`` is added."""
    values: dict[str, Any] = {}
    drop_ins = sorted(each for each in Path(f"{path}.d").glob("*") if each.suffix in (".yaml", ".yml"))
    for file in [path, *drop_ins]:
        if not file.exists():
            continue
        for name, value in read(file).items():
            if name.endswith("+"):
                had = values.get(name[:-1], [])
                added = value if isinstance(value, list) else [value]
                values[name[:-1]] = (had if isinstance(had, list) else [had]) + added
            else:
                values[name] = value
    return values


def from_flags(arguments: Sequence[str], kinds: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if not argument.startswith("-"):
            rest.append(argument)
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        name = name if name in kinds else flags.SHORT.get(name, name)
        kind = kinds.get(name)
        if kind is None:
            print(f"Incorrect Usage: flag provided but not defined: -{name}")
            log.fatal(f"Error: flag provided but not defined: -{name}")
        if not equals:
            if kind != "switch" and not waiting:
                log.fatal(f"Error: flag needs an argument: -{name}")
            value = "true" if kind == "switch" else waiting.pop(0)
        if kind == "list":
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    return values, rest


def gathered(command: str, arguments: Sequence[str], kinds: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Everything that a command was told, and what follows its flags.

    As with k3s, an unknown name in the file ends an agent; a server and etcd-snapshot say so and go on.
    """
    given, rest = from_flags(arguments, kinds)
    path = str(given.pop("config", "") or os.environ.get("K3S_CONFIG_FILE", ""))
    if path and not Path(path).exists():
        log.fatal(f"open {path}: no such file or directory")
    values: dict[str, Any] = {
        name: os.environ[variable] for variable, name in flags.ENVIRONMENT.items() if os.environ.get(variable) and name in kinds
    }
    for written, value in from_files(Path(path or CONFIG)).items():
        name = flags.SHORT.get(written, written)
        if name not in kinds:
            if command == "agent":
                log.fatal(f"Error: flag provided but not defined: -{name}")
            log.warn(f"Unknown flag --{name} found in config.yaml, skipping\n")
        elif kinds[name] != "list" and isinstance(value, list):
            values[name] = value[-1] if value else ""
        else:
            values[name] = value
    return Settings({**values, **given}), rest
