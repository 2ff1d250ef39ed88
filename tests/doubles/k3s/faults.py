# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this machine's stand-in is told to get wrong, by ``/etc/k3s-standin/faults.json``; each only for ``versions``, if named.

| name | what goes wrong |
|---|---|
| ``exit`` | server and agent end with status 1 as soon as they are started |
| ``hang`` | they never say that they are ready, and listen to nobody |
| ``not_ready`` | the node is there and reports that it is not ready |
| ``snapshot`` | ``etcd-snapshot save`` fails |
"""

from __future__ import annotations

import json
from pathlib import Path

from .version import VERSION

PATH = Path("/etc/k3s-standin/faults.json")


def told(name: str) -> bool:
    """Read anew every time: a fault can be set and taken away while k3s runs."""
    try:
        faults = json.loads(PATH.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    return bool(faults.get(name)) and VERSION in faults.get("versions", [VERSION])
