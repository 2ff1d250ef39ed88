# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The audit log of an API server: an event for each request that writes, whatever rules the policy has."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

from ..kubernetes.http import Request


class AuditLog:
    """``path``: what ``audit-log-path`` names; empty for no log."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None

    def note(self, request: Request) -> None:
        if self._path is None or request.method in ("GET", "HEAD"):
            return
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        event = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "stage": "RequestReceived",
            "requestURI": request.path,
            "verb": request.method.lower(),
            "user": {"username": request.user, "groups": list(request.groups)},
            "requestReceivedTimestamp": now,
            "stageTimestamp": now,
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
