# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a guest, with a domain, an agent and a clock that do as they are told."""

from __future__ import annotations

import base64
import json
import types

import libvirt
import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import agent, guest_wait
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.guest_wait import Awaited, GuestWait
from ansible_collections.virt8ra.federation.plugins.module_utils.cloud_init.progress import DISABLED, RESULT, STATUS
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, InputError

MAC = "52:54:00:00:00:01"
DONE = json.dumps({"v1": {"datasource": "NoCloud", "errors": []}})
GOING = json.dumps({"v1": {"stage": "modules-final"}})
GIVEN = '<c:cloud_init xmlns:c="https://virt8ra.eu/federation/cloud_init/1">{"device": "sdz", "digest": "x"}</c:cloud_init>'


class World:
    """One guest; every second of sleep may change it."""

    def __init__(self):
        self.state = libvirt.VIR_DOMAIN_RUNNING
        self.connected = True
        self.channel = True
        self.given = True
        self.files = {RESULT: DONE}
        self.refused = ()
        self.leases = []
        self.agent_address = ""
        self.links = []
        self.now = 0.0
        self.later = {}

    # the clock
    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        for moment in sorted(self.later):
            if moment <= self.now:
                self.later.pop(moment)(self)

    # the connection and its network
    def lookupByName(self, name):
        return self

    def listAllNetworks(self, flags):
        return [self]

    def networkLookupByName(self, name):
        return types.SimpleNamespace(XMLDesc=lambda: "<network><ip><dhcp/></ip></network>")

    def DHCPLeases(self):
        return self.leases

    # the domain
    def name(self):
        return "web-1"

    def XMLDesc(self, flags=0):
        target = f"<target name='org.qemu.guest_agent.0' state='{'connected' if self.connected else 'disconnected'}'/>"
        channel = f"<channel>{target}</channel>" if self.channel else ""
        nic = f"<interface type='network'><mac address='{MAC}'/><source network='public'/></interface>"
        return f"<domain><metadata>{GIVEN if self.given else ''}</metadata><devices>{channel}{nic}</devices></domain>"

    def interfaceAddresses(self, source, flags):
        return {"eth0": {"hwaddr": MAC, "addrs": [{"addr": self.agent_address}]}} if self.agent_address else {}

    def updateDeviceFlags(self, xml, flags):
        self.links.append("down" if "down" in xml else "up")

    # the agent
    def qemuAgentCommand(self, domain, request, timeout, flags):
        asked = json.loads(request)
        command, arguments = asked["execute"], asked.get("arguments", {})
        if command in self.refused:
            raise Fault(f"unable to execute QEMU agent command '{command}': Command {command} has been disabled")
        if command == "guest-file-open":
            if arguments["path"] not in self.files:
                raise Fault(f"failed to open file '{arguments['path']}': No such file or directory")
            return json.dumps({"return": arguments["path"]})
        if command == "guest-file-read":
            content = self.files[arguments["handle"]].encode()
            return json.dumps({"return": {"buf-b64": base64.b64encode(content).decode(), "count": len(content), "eof": True}})
        answers = {"guest-get-host-name": {"host-name": "web"}, "guest-get-osinfo": {"id": "debian", "version-id": "12"}}
        return json.dumps({"return": answers.get(command, {})})


class Fault(libvirt.libvirtError):
    """As libvirt raises it."""

    def __init__(self, message):
        super().__init__(message)
        self.err = (1, 10, message)

    def get_error_message(self):
        return str(self.args[0])


@pytest.fixture
def world(monkeypatch):
    world = World()
    domain = types.SimpleNamespace(
        **{name: getattr(world, name) for name in ("name", "XMLDesc", "interfaceAddresses", "updateDeviceFlags")}
    )
    domain.state = lambda: (world.state, 0)
    world.lookupByName = lambda name: domain
    monkeypatch.setattr(guest_wait, "time", world)
    monkeypatch.setattr(agent, "libvirt_qemu", world)
    world.told = []
    return world


def wait(world, **awaited):
    return GuestWait(world, "web-1", Awaited(**{"timeout": 60, **awaited}), lambda phase, figures: world.told.append(phase))


def leased(address):
    return lambda world: world.leases.append({"mac": MAC, "ipaddr": address, "expirytime": 1})


def test_a_guest_that_is_there_is_not_waited_for(world):
    leased("10.0.0.5")(world)
    assert wait(world).run() == {
        "agent": True,
        "hostname": "web",
        "system": {"id": "debian", "name": "", "version": "12", "kernel": ""},
        "addresses": ["10.0.0.5"],
        "cloud_init": {"done": True, "datasource": "NoCloud", "errors": []},
    }
    assert world.told == [] and world.now == 0


def test_each_thing_is_waited_for_in_turn_and_told(world):
    world.connected, world.files = False, {STATUS: GOING}
    world.later = {
        2: lambda world: setattr(world, "connected", True),
        4: lambda world: world.files.update({RESULT: DONE}),
        6: leased("10.0.0.5"),
    }
    assert wait(world).run()["addresses"] == ["10.0.0.5"]
    assert list(dict.fromkeys(world.told)) == ["guest agent", "cloud-init modules-final", "address"]


def test_a_vm_that_was_given_nothing_is_not_asked_for_cloud_init(world):
    world.given, world.files = False, {}
    leased("10.0.0.5")(world)
    assert wait(world).run()["cloud_init"] is None


@pytest.mark.parametrize(
    ("change", "awaited", "sentence"),
    [
        ({"connected": False}, {}, "the guest agent of VM web-1 did not answer within 60 s; is qemu-guest-agent installed in it?"),
        ({"files": {STATUS: GOING}}, {}, "cloud-init of VM web-1 was still at modules-final within 60 s; look at its console"),
        (
            {"files": {}},
            {},
            "cloud-init of VM web-1 was not told of within 60 s; look at its console, or do not wait for it with cloud_init=false",
        ),
        ({"files": {DISABLED: ""}}, {}, "cloud-init is disabled in the guest of VM web-1; see that it finds its data"),
        (
            {"refused": ("guest-file-open",)},
            {},
            "the guest of VM web-1 does not let its agent read files; allow it guest-file-open",
        ),
        ({}, {}, "an address of VM web-1 was not to be seen within 60 s; look at its network configuration"),
        (
            {"files": {RESULT: json.dumps({"v1": {"errors": ["no package nginx", "x", "y"]}})}},
            {},
            "cloud-init of VM web-1 ended with an error: no package nginx, and 2 more; look at /var/log/cloud-init.log",
        ),
        (
            {"connected": False, "later": {3: lambda world: setattr(world, "state", libvirt.VIR_DOMAIN_SHUTOFF)}},
            {},
            "the VM web-1 is stopped, so that nothing",
        ),
    ],
)
def test_what_does_not_come_is_told_in_one_sentence(world, change, awaited, sentence):
    for key, value in change.items():
        setattr(world, key, value)
    with pytest.raises(BackendError) as caught:
        wait(world, **awaited).run()
    assert str(caught.value).startswith(sentence)


def test_a_vm_without_a_channel_is_refused_at_once(world):
    world.channel = False
    with pytest.raises(InputError, match="has no channel to a guest agent"):
        wait(world)


def test_a_guest_with_an_address_of_elsewhere_has_its_cable_pulled_once(world):
    world.agent_address = "10.9.9.9"
    world.later = {8: leased("10.0.0.5")}
    waiting = wait(world, renew=True)
    assert waiting.run()["addresses"] == ["10.0.0.5"]
    assert (waiting.renewed, world.links) == (True, ["down", "up"])


def test_a_guest_with_a_lease_keeps_its_cable(world):
    leased("10.0.0.5")(world)
    waiting = wait(world, renew=True)
    waiting.run()
    assert (waiting.renewed, world.links) == (False, [])
