# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes library for Python and what it brings along; each is None where it is not installed."""

from __future__ import annotations

from ...errors import UnreachableError

try:
    import kubernetes.client as sdk
    import kubernetes.config as kubeconfigs
    import urllib3
    import websocket
except ImportError:
    kubeconfigs = sdk = urllib3 = websocket = None


def need_library(option: str, value: str) -> None:
    """UnreachableError where the library is missing."""
    if sdk is None:
        raise UnreachableError(
            "needs the Kubernetes library for Python, which is not installed here",
            option=option,
            value=value,
            remedy="install python3-kubernetes or kubernetes from PyPI, version 31 or later",
        )
