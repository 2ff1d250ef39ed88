# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fact: how something was measured, and what came of it, or why nothing came of it.

It may have ``missing`` as well: sentences about parts that could not be measured. What was measured of the others can fail, and not pass.
"""

from __future__ import annotations

from typing import Any, Callable

from ...errors import FederationError

Fact = dict[str, Any]


def measured(how: str, measure: Callable[[], Any]) -> Fact:
    """``{"how", "data"}``, or ``{"how", "error"}`` with the sentence of a FederationError; what fails otherwise is a defect."""
    try:
        return {"how": how, "data": measure()}
    except FederationError as error:
        return {"how": how, "error": " ".join(error.sentence().split())}


def failed(how: str, why: str) -> Fact:
    """What could not be measured, and why, in one sentence."""
    return {"how": how, "error": why}
