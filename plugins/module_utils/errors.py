# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one exception root of the collection.

Every message is one sentence: what is wrong, where (the option and its value) and what to do.
Modules turn a FederationError into ``fail_json``, plugins into Ansible's own parser errors.
"""

from __future__ import annotations

from typing import Any

_SHOWN = 120


class FederationError(Exception):
    """What went wrong, at which option, with which value, and the remedy.

    :param what: the fault, without a full stop
    :param option: the option or key that a person wrote, e.g. ``disks[0].size``
    :param value: what was found there; shown shortened, never a secret
    :param remedy: what to do about it, as an imperative
    """

    def __init__(self, what: str, *, option: str | None = None, value: Any = None, remedy: str | None = None) -> None:
        self.what = what
        self.option = option
        self.value = value
        self.remedy = remedy
        # What a module's result holds beside the message.
        self.details: dict[str, Any] = {}
        super().__init__(self.sentence())

    def sentence(self) -> str:
        text = ""
        if self.option is not None:
            text = f"{self.option}: " if self.value is None else f"{self.option}={_shown(self.value)}: "
        text += self.what
        if self.remedy is not None:
            text += f"; {self.remedy}"
        return text

    def to_dict(self) -> dict[str, Any]:
        """``{what, option, value, remedy}`` for a module's result."""
        return {"what": self.what, "option": self.option, "value": self.value, "remedy": self.remedy}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class InputError(FederationError):
    """Something a person wrote cannot be meant; nothing was touched."""


class UnreachableError(FederationError):
    """A back end did not answer, or refused the connection."""


class BackendError(FederationError):
    """A back end answered with a fault of its own."""


class ExistsError(BackendError):
    """What was to be made is there already, and is somebody else's."""


class ConflictError(BackendError):
    """Somebody else changed or owns what was to be changed."""


class ForbiddenError(BackendError):
    """The back end knows who asks, and does not allow it."""


class NotFoundError(FederationError):
    """A named thing does not exist at its back end."""


class MigrationBlocked(FederationError):
    """Preflight found blockers; nothing was touched."""


class MigrationFailed(FederationError):
    """A migration did not come to its end; the message says where the VM runs now."""


class NoPlaceError(FederationError):
    """No placement keeps all rules; nothing was touched, and ``details`` say what excludes what."""


class ComplianceError(FederationError):
    """Compliance could not be judged; this is no finding."""


class FindingsFailed(FederationError):
    """Compliance was judged, and what was found is not good enough; ``details`` are the module's result."""
