# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""File systems that were frozen are thawed, however the block ends, and when they cannot be that is told."""

from __future__ import annotations

import subprocess
import sys

import libvirt
import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import freeze
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError

AGENT = "<domain><devices><channel><target name='org.qemu.guest_agent.0' state='{}'/></channel></devices></domain>"


class Domain:
    def __init__(self, *, state="connected", freezes=True, thaws=True):
        self.calls = []
        self._state, self._freezes, self._thaws = state, freezes, thaws

    def XMLDesc(self):
        return AGENT.format(self._state)

    def UUIDString(self):
        return "00000000-0000-0000-0000-000000000000"

    def name(self):
        return "web-1"

    def isActive(self):
        return True

    def fsFreeze(self):
        self.calls.append("freeze")
        if not self._freezes:
            raise libvirt.libvirtError("the agent is busy")

    def fsThaw(self):
        self.calls.append("thaw")
        if not self._thaws:
            raise libvirt.libvirtError("the agent is gone")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(freeze.time, "sleep", lambda _seconds: None)


def test_they_are_frozen_for_the_block_alone():
    domain = Domain()
    with freeze.frozen(domain, "test:///default") as guest:
        assert domain.calls == ["freeze"] and guest.reason == ""
    assert domain.calls == ["freeze", "thaw"]


def test_they_are_thawed_when_the_block_fails():
    domain = Domain()
    with pytest.raises(ZeroDivisionError), freeze.frozen(domain, "test:///default"):
        raise ZeroDivisionError
    assert domain.calls == ["freeze", "thaw"]


def test_an_agent_that_cannot_freeze_is_a_reason():
    domain = Domain(freezes=False)
    with freeze.frozen(domain, "test:///default") as guest:
        assert guest.reason == "the guest agent does not freeze its file systems (the agent is busy)"
    assert domain.calls == ["freeze", "thaw"], "a part may be frozen"


def test_no_agent_is_a_reason():
    domain = Domain(state="disconnected")
    with freeze.frozen(domain, "test:///default") as guest:
        assert guest.reason == "no guest agent answers"
    assert domain.calls == []


def test_what_stays_frozen_is_told():
    domain = Domain(thaws=False)
    with pytest.raises(BackendError) as error, freeze.frozen(domain, "test:///default"):
        pass
    told = "the file systems of VM web-1 could not be thawed (the agent is gone); run virsh domfsthaw web-1 at once"
    assert str(error.value) == told and domain.calls.count("thaw") == 5


def test_the_keeper_thaws_when_its_parent_is_gone(tmp_path):
    """Its text is run with a libvirt of ours, as the kernel has it run: its standard input closes."""
    note = tmp_path / "thawed"
    (tmp_path / "libvirt.py").write_text(
        "import builtins\n"
        "class Domain:\n"
        "    def lookupByUUIDString(self, uuid):\n"
        "        return self\n"
        "    def fsThaw(self):\n"
        f"        builtins.open({str(note)!r}, 'w').close()\n"
        "def open(uri):\n"
        "    return Domain()\n"
    )
    for said, is_thawed in (("thawed", False), ("", True)):
        argv = [sys.executable, "-c", freeze._KEEPER, "test:///default", "uuid"]
        subprocess.run(argv, input=said, text=True, check=True, env={"PYTHONPATH": str(tmp_path)})
        assert note.exists() is is_thawed
