# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends import volume_server
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError

REFUSES = "import sys; sys.exit('file system does not support O_DIRECT')"
SERVES = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"


class Kept:
    def close(self) -> None:
        pass


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines of servers; one that goes past the page cache ends at once, as on a file system that has no O_DIRECT."""
    lines: list[list[str]] = []
    real = subprocess.Popen

    def popen(argv: Sequence[str], **options: Any) -> Any:
        lines.append(list(argv))
        program = REFUSES if "none" in argv else SERVES
        return real([sys.executable, "-c", program, argv[argv.index("--socket") + 1]], **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(volume_server, "open_socket", lambda path, what: Kept())
    return lines


def test_a_file_system_without_direct_access_is_written_through_the_page_cache(started: list[list[str]]) -> None:
    with volume_server.VolumeServer("/vms/a.qcow2", "qcow2"):
        pass
    assert ["none" in line for line in started] == [True, False]
    assert "writeback" in started[1]


def test_a_volume_that_cannot_be_served_is_told(started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SERVES", "import sys; sys.exit('is in use')")
    with (
        pytest.raises(BackendError, match=r"the volume /vms/a\.qcow2 cannot be written: is in use"),
        volume_server.VolumeServer("/vms/a.qcow2", "qcow2"),
    ):
        pass
    assert not Path(started[0][started[0].index("--socket") + 1]).exists()
