# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes library for Python and what it brings along; each is None where it is not installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ...errors import UnreachableError

sdk: Any = None
kubeconfigs: Any = None
urllib3: Any = None
websocket: Any = None
try:
    sdk, kubeconfigs = import_module("kubernetes.client"), import_module("kubernetes.config")
    urllib3, websocket = import_module("urllib3"), import_module("websocket")
except ImportError:
    sdk = None


def need_library(option: str, value: str) -> None:
    """UnreachableError where the library is missing."""
    if sdk is None:
        raise UnreachableError(
            "needs the Kubernetes library for Python, which is not installed here",
            option=option,
            value=value,
            remedy="install python3-kubernetes or kubernetes from PyPI, version 31 or later",
        )
