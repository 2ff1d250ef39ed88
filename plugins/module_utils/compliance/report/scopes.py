# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a waiver covers, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...shown import plain


def scope_words(scope: Any) -> str:
    """``"site bit-ede; name kvm1 or kvm2"`` of ``{site, type, name}``, lists of patterns each; ``"everything"`` of an empty one."""
    if not isinstance(scope, Mapping):
        return plain(scope) or "everything"
    told = []
    for key in ("type", "site", "name"):
        patterns = scope.get(key) or ()
        if isinstance(patterns, Sequence) and not isinstance(patterns, str):
            told += [f"{key} {' or '.join(map(plain, patterns))}"] if patterns else []
        else:
            told.append(f"{key} {plain(patterns)}")
    return "; ".join(told) or "everything"
