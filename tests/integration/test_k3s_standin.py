# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand-in for k3s keeps what it promises: one state with a quorum, sealed files, settings as k3s reads them."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.k3s import pki, settings, snapshots, tokens
from tests.doubles.k3s.build import build
from tests.doubles.k3s.datastore import NoQuorum
from tests.doubles.k3s.etcd import Etcd
from tests.doubles.k3s.flags import AGENT, SERVER
from tests.doubles.k3s.paths import Layout

PORT = 12380
ADDRESSES = {"one-a": "127.0.81.1", "two-b": "127.0.81.2", "three-c": "127.0.81.3"}


class Members:
    """Members of etcd in this process, each with a folder and an address of loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout(str(folder / "data"))
        pki.make_authorities(self.layout)
        pki.make_leaves(self.layout, ["localhost"])
        self.running: dict[str, Etcd] = {}

    async def __aenter__(self) -> Members:
        return self

    async def __aexit__(self, *_error: object) -> None:
        for name in tuple(self.running):
            await self.stop(name)

    async def start(self, name: str, first: bool = False) -> Etcd:
        member = Etcd(self.folder / name, name, ADDRESSES[name], PORT)
        member.load()
        if first:
            member.create()
        inward, outward = (pki.peer(self.layout, side) for side in (ssl.Purpose.CLIENT_AUTH, ssl.Purpose.SERVER_AUTH))
        await member.start(inward, outward)
        self.running[name] = member
        return member

    async def join(self, name: str) -> Etcd:
        member = await self.start(name)
        await until(lambda: self.leader() is not None)
        leader = self.leader()
        assert leader
        await until_joined(leader, member)
        await until(lambda: member.available() and all(not each["learner"] for each in leader.state["members"]))
        return member

    async def stop(self, name: str) -> None:
        await self.running.pop(name).stop()

    def leader(self) -> Etcd | None:
        return next((member for member in self.running.values() if member.available() and not member.leader()), None)


async def until(holds: Callable[[], Any]) -> None:
    async def wait() -> None:
        while not holds():
            await asyncio.sleep(0.05)

    await asyncio.wait_for(wait(), 60)


async def until_joined(leader: Etcd, member: Etcd) -> None:
    answer = await leader.join({"member": member.member(learner=True)})
    assert answer == {"joined": True}


def put(value: int) -> dict[str, Any]:
    return {"rv": value, "put": {"/configmaps/default/x": {"value": value}}}


def test_members_keep_one_state_as_long_as_most_of_them_are_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Members(tmp_path) as members:
            await members.start("one-a", first=True)
            await members.join("two-b")
            await members.join("three-c")
            await members.running["two-b"].propose(put(1))
            await until(lambda: all(member.state["rv"] == 1 for member in members.running.values()))

            leader = members.leader()
            assert leader
            await members.stop(leader.name)
            await until(members.leader)
            survivor = members.leader()
            assert survivor and survivor.state["objects"]["/configmaps/default/x"] == {"value": 1}
            await survivor.propose(put(2))

            other = next(name for name in members.running if name != survivor.name)
            await members.stop(other)
            with pytest.raises(NoQuorum):
                await survivor.propose(put(3))
            await until(lambda: not survivor.available())

            await members.start(leader.name)
            await members.start(other)
            await until(lambda: len({member.state["rv"] for member in members.running.values()}) == 1 and members.leader())
            assert members.running[leader.name].state["rv"] >= 2

    asyncio.run(scenario())


def test_a_member_that_is_removed_notices_and_the_others_go_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Members(tmp_path) as members:
            await members.start("one-a", first=True)
            await members.join("two-b")
            await members.join("three-c")
            leader = members.leader()
            assert leader
            gone = next(name for name in members.running if name != leader.name)
            await leader.remove(gone)
            await until(lambda: members.running[gone].removed)
            assert (tmp_path / gone / "tombstone").exists()
            assert {member["name"] for member in leader.state["members"]} == set(ADDRESSES) - {gone}
            await leader.propose(put(5))

    asyncio.run(scenario())


def test_a_snapshot_opens_with_its_token_only_and_only_whole(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))
    state = {"rv": 7, "objects": {}, "members": [], "bootstrap": tokens.seal("right", {"cred/passwd": "kept"})}
    made = snapshots.save(layout, state, "on-demand", "", True, "n1")
    read = snapshots.read(Path(made["path"]))
    assert snapshots.opened(read, "right") == {"cred/passwd": "kept"}
    with pytest.raises(tokens.TokenError, match="different token"):
        snapshots.opened(read, "wrong")
    broken = tmp_path / "broken"
    broken.write_bytes(Path(made["path"]).read_bytes()[:-30])
    with pytest.raises(snapshots.SnapshotError, match="integrity"):
        snapshots.read(broken)


def test_settings_are_read_as_k3s_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("token: 'it''s'\ntls-san:\n  - a\n  - \"b\"\nnode-name: file # said why\nunheard-of: 1\n")
    (tmp_path / "config.yaml.d").mkdir()
    (tmp_path / "config.yaml.d" / "1.yaml").write_text("tls-san+: [c]\nnode-name: drop-in\n")
    monkeypatch.setenv("K3S_CONFIG_FILE", str(config))
    monkeypatch.setenv("K3S_TOKEN", "of the environment")
    read, _rest = settings.gathered("server", ["--node-name=flag"], SERVER)
    assert (read.one("token"), read.many("tls-san"), read.one("node-name")) == ("it's", ["a", "b", "c"], "flag")
    assert "Unknown flag --unheard-of" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        settings.gathered("agent", [], AGENT)
    assert "flag provided but not defined: -tls-san" in capsys.readouterr().err


def test_a_binary_is_one_file_that_says_what_it_is(tmp_path: Path) -> None:
    first = build(tmp_path / "a", "v1.34.1+k3s1")
    assert first == build(tmp_path / "b", "v1.34.1+k3s1") != build(tmp_path / "c", "v1.35.0+k3s1")
    told = subprocess.run([tmp_path / "c", "--version"], capture_output=True, text=True, check=True).stdout
    assert told.startswith("k3s version v1.35.0+k3s1 (") and "stand-in" in told
