# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""JMESPath expressions of controls, compiled once, and the functions that they have besides JMESPath's own.

=================================  =======================================================================
function                           result
=================================  =======================================================================
``days_since(moment)``             days from a date or an ISO 8601 time to today; null where it is null
``days_until(moment)``             days from today to a date or an ISO 8601 time; null where it is null
``in_networks(address, cidrs)``    whether an IP address is in one of the networks
``without(list, others)``          the items of the first list that are not in the second
``matches(text, patterns)``        whether the whole text matches a shell pattern such as ``*.example.eu``, or one of a list
``lower(text)``                    the text in small letters
``version_at_least(one, other)``   whether a version such as ``1.32.4`` is not older than another
``each_with(list, mapping)``       each mapping of the list with these keys as well, as a filter sees only its item:
                                   ``each_with(facts.peers, {nets: parameters.nets})[?!in_networks(address, nets)]``
``eea()``                          the countries of the European Union and the EEA, ISO 3166-1
=================================  =======================================================================

Days are whole or with a fraction, as the moment is a date or a time. Today begins at 00:00 UTC of the day that the judge was given,
so that the same evidence is judged alike at any hour.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from functools import lru_cache
from typing import Any, Callable

from ..countries import EEA
from ..errors import ComplianceError, InputError

try:
    import jmespath
    from jmespath import exceptions as jmespath_exceptions
    from jmespath import functions as jmespath_functions
except ImportError:
    jmespath = None

_DAY = 86400.0


def moment(written: Any, option: str) -> datetime:
    """A date or an ISO 8601 time; without a zone it is UTC. InputError for what is neither."""
    try:
        if len(written) == len("2026-11-25"):
            return datetime.combine(date.fromisoformat(written), time(), timezone.utc)
        # Python 3.9 reads neither Z nor more than six digits of a fraction.
        text = re.sub(r"(\.\d{1,6})\d*", lambda match: match[1].ljust(7, "0"), re.sub("[zZ]$", "+00:00", written))
        read = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        remedy = "write it as 2026-12-31 or 2026-12-31T23:59:59Z"
        raise InputError("is neither a date nor a time", option=option, value=written, remedy=remedy) from None
    return read if read.tzinfo else read.replace(tzinfo=timezone.utc)


@lru_cache(maxsize=4096)
def _network(cidr: str) -> Any:
    return ipaddress.ip_network(cidr, strict=False)


@lru_cache(maxsize=65536)
def _address(written: str) -> Any:
    one = ipaddress.ip_address(written.partition("%")[0])
    return getattr(one, "ipv4_mapped", None) or one


def _in_networks(address: str, cidrs: list[str]) -> bool:
    one = _address(address)
    return any(one.version == network.version and one in network for network in map(_network, cidrs))


def _version(text: str) -> tuple[int, ...]:
    numbers = re.match(r"[vV]?(\d+(?:\.\d+)*)", text)
    if numbers is None:
        raise ValueError(f"{text!r} is no version")
    found = [int(number) for number in numbers[1].split(".")]
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)


def _matches(text: str, patterns: str | list[str]) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern) for pattern in ([patterns] if isinstance(patterns, str) else patterns))


_TEXT = {"types": ["string"]}
_MOMENT = {"types": ["string", "null"]}
_LIST = {"types": ["array"]}


def _own_functions(now: datetime) -> dict[str, tuple[Callable[..., Any], tuple[dict[str, Any], ...]]]:
    """Each by its name, with the types of its arguments; ``now`` is when today begins."""

    def days_since(_self: Any, written: str | None) -> float | None:
        return None if written is None else (now - moment(written, "days_since")).total_seconds() / _DAY

    def days_until(_self: Any, written: str | None) -> float | None:
        return None if written is None else (moment(written, "days_until") - now).total_seconds() / _DAY

    return {
        "days_since": (days_since, (_MOMENT,)),
        "days_until": (days_until, (_MOMENT,)),
        "in_networks": (lambda _self, address, cidrs: _in_networks(address, cidrs), (_TEXT, {"types": ["array-string"]})),
        "without": (lambda _self, items, others: [item for item in items if item not in others], (_LIST, _LIST)),
        "matches": (lambda _self, text, patterns: _matches(text, patterns), (_TEXT, {"types": ["string", "array-string"]})),
        "lower": (lambda _self, text: text.lower(), (_TEXT,)),
        "version_at_least": (lambda _self, one, other: _version(one) >= _version(other), (_TEXT, _TEXT)),
        "each_with": (lambda _self, items, more: [{**item, **more} for item in items], (_LIST, {"types": ["object"]})),
        "eea": (lambda _self: sorted(EEA), ()),
    }


@lru_cache(maxsize=8)
def _options(today: str) -> Any:
    """JMESPath's options with our functions, as of the day ``today``."""
    own = _own_functions(moment(today, "today"))
    methods = {f"_func_{name}": jmespath_functions.signature(*kinds)(function) for name, (function, kinds) in own.items()}
    functions = types.new_class("Functions", (jmespath_functions.Functions,), {}, lambda namespace: namespace.update(methods))
    return jmespath.Options(custom_functions=functions())


@dataclass(frozen=True)
class Expression:
    """``text`` as it was written, ``compiled`` by JMESPath."""

    text: str
    compiled: Any

    @classmethod
    def compile(cls, text: str, option: str) -> Expression:
        """InputError for a syntax error, an unknown function, and a wrong number of arguments."""
        if jmespath is None:
            raise InputError("needs jmespath, which is not installed", option=option, remedy="install jmespath on the controller")
        try:
            compiled = jmespath.compile(text)
        except jmespath_exceptions.JMESPathError as error:
            what = f"is no JMESPath expression ({_line(error)})"
            raise InputError(what, option=option, value=text, remedy="mend it, see docs/compliance.md") from None
        table = _options("2000-01-01").custom_functions.FUNCTION_TABLE
        for name, count in _calls(compiled.parsed):
            if name not in table:
                raise InputError(f"calls {name}(), which nobody knows", option=option, value=text, remedy=f"use {_known(table)}")
            signature = table[name]["signature"]
            variadic = bool(signature) and bool(signature[-1].get("variadic"))
            if count < len(signature) or (count > len(signature) and not variadic):
                remedy = f"give it {len(signature)}"
                raise InputError(f"gives {name}() {count} arguments", option=option, value=text, remedy=remedy)
        return cls(text, compiled)

    def reads(self, root: str) -> frozenset[str] | None:
        """The keys of a mapping that it reads, ``disks`` of ``facts.disks[0]``; None where it may be any of them."""
        return _reads(self.compiled.parsed, root)

    def search(self, data: Mapping[str, Any], today: str) -> Any:
        """What it gives on that day; ComplianceError where JMESPath or one of its functions cannot."""
        try:
            return self.compiled.search(data, options=_options(today))
        except InputError as error:
            raise ComplianceError("cannot be evaluated", option=self.text, remedy=error.sentence()) from None
        except (jmespath_exceptions.JMESPathError, ValueError, TypeError, AttributeError, RecursionError) as error:
            remedy = "mend the expression, or what was measured"
            raise ComplianceError(f"cannot be evaluated ({_line(error)})", option=self.text, remedy=remedy) from None


def _calls(node: Any) -> Iterator[tuple[str, int]]:
    """Name and number of arguments of each call in a parsed expression."""
    if isinstance(node, dict):
        if node.get("type") == "function_expression":
            yield node["value"], len(node["children"])
        for child in node.get("children", ()):
            yield from _calls(child)


def _reads(node: Any, root: str) -> frozenset[str] | None:
    if not isinstance(node, dict):
        return frozenset()
    if _is_field(node, root):
        return None
    children = list(node.get("children", ()))
    if node.get("type") == "subexpression":
        if _is_field(children[0], root):
            return _key(children[1])
        # What follows a dot is read of what stands before it.
        children = children[:1]
    keys: set[str] = set()
    for child in children:
        more = _reads(child, root)
        if more is None:
            return None
        keys |= more
    return frozenset(keys)


def _key(node: Any) -> frozenset[str] | None:
    """Of what follows the mapping and a dot; None where that is no plain name."""
    while node.get("type") == "index_expression":
        node = node["children"][0]
    return frozenset({str(node["value"])}) if node.get("type") == "field" else None


def _is_field(node: Any, name: str) -> bool:
    return isinstance(node, dict) and node.get("type") == "field" and node.get("value") == name


def _known(table: Mapping[str, Any]) -> str:
    own = ("days_since", "days_until", "in_networks", "without", "matches", "lower", "version_at_least", "each_with", "eea")
    return f"JMESPath's own functions or {', '.join(name for name in own if name in table)}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
