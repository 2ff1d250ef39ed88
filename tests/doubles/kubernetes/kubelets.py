# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node's kubelet answers through the API server: ``GET nodes/NAME/proxy/configz``, and nothing else of it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from .http import Request, Response
from .resources import Resources
from .rest import Target
from .statuses import ApiError

# As a kubelet tells its defaults: a port that is 0 is left out.
CONFIGURATION = {
    "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": "/ca.crt"}},
    "authorization": {"mode": "Webhook"},
    "streamingConnectionIdleTimeout": "4h0m0s",
    "makeIPTablesUtilChains": True,
    "protectKernelDefaults": False,
    "eventRecordQPS": 50,
}


class Kubelets:
    """``kubelet.json`` in the double's folder holds what is different from the defaults, of all nodes."""

    def __init__(self, folder: Path, resources: Resources) -> None:
        self._file, self._resources = folder / "kubelet.json", resources

    async def proxy(self, request: Request, target: Target) -> Response:
        self._resources.get(target.kind, "", target.name)
        if request.method != "GET" or target.rest != "configz":
            raise ApiError(404, "the server could not find the requested resource", details={})
        changed: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError):
            changed = json.loads(self._file.read_text(encoding="utf-8"))
        return Response({"kubeletconfig": {**CONFIGURATION, **changed}})
