# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import volumes
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, ExistsError
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.target_volumes import make_volumes

DISKS = {
    name: {"pool": "vms", "volume": f"web-{name}.qcow2", "capacity": 1024, "format": "qcow2", "path": f"/vms/web-{name}.qcow2"}
    for name in ("vda", "vdb")
}


def failing_with(error: BackendError, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What may have been made when the second volume fails so."""

    def create(_connection: Any, _pool: str, name: str, _size: int, _format: str) -> str:
        if "vdb" in name:
            raise error
        return f"/vms/{name}"

    monkeypatch.setattr(volumes, "create_volume", create)
    made: dict[str, str] = {}
    with pytest.raises(type(error)):
        make_volumes(None, DISKS, made)
    return made


def test_a_volume_that_stood_in_the_way_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing_with(ExistsError("exists already"), monkeypatch) == {"vda": "/vms/web-vda.qcow2"}


def test_a_daemon_that_died_before_it_answered_may_have_made_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = failing_with(BackendError("Cannot recv data: Connection reset by peer"), monkeypatch)
    assert made == {"vda": "/vms/web-vda.qcow2", "vdb": "/vms/web-vdb.qcow2"}
