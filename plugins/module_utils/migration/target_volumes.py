# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The empty volumes that a VM's disks are copied to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backends.libvirt import volumes
from ..errors import ExistsError, FederationError


def make_volumes(connection: Any, disks: Mapping[str, dict[str, Any]], made: dict[str, str]) -> None:
    """Make a volume for each disk of a plan; ``made`` gets the paths, by disk name, of all that may have been made.

    :raises ExistsError: a volume stands in the way; it is somebody else's, and is not in ``made``
    """
    for name, disk in disks.items():
        try:
            made[name] = volumes.create_volume(connection, disk["pool"], disk["volume"], disk["capacity"], disk["format"])
        except ExistsError:
            raise
        except FederationError:
            # A daemon that dies before it answers may have made it.
            made[name] = disk["path"]
            raise
