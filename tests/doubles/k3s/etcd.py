# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Members that keep one state: a leader by votes, a change kept when most members have it. Raft without a log of its own.

A member holds the last state that it heard of, with the index and the term of the change that made it. The leader sends the
changes since, or the whole state when the member's own differs. All else is Raft: terms, votes for who knows at least as
much, a leader that steps down when most members are silent. New members learn first and vote once they have the state.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import ssl
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import log
from .datastore import Change, NoQuorum, State, apply, empty
from .paths import write

PORT = 2380
_BEAT = 0.4
_SILENCE = 2.5
_ANSWER = 5.0
_LARGEST = 64 * 1024 * 1024
Message = dict[str, Any]


def initialised(folder: Path) -> bool:
    return (folder / "member" / "wal").is_dir()


def named(folder: Path, node: str, anew: bool = False) -> str:
    """The member's own name, kept in the folder."""
    file = folder / "name"
    if anew or not file.exists():
        write(file, f"{node}-{secrets.token_hex(4)}")
    return file.read_text(encoding="utf-8").strip()


def saved(folder: Path) -> Message:
    """``{term, voted, index, entry_term, state}`` of a member that does not run."""
    read: Message = json.loads((folder / "member" / "snap" / "db").read_text(encoding="utf-8"))
    return read


def save(folder: Path, what: Message) -> None:
    (folder / "member" / "wal").mkdir(parents=True, exist_ok=True, mode=0o700)
    write(folder / "member" / "snap" / "db", json.dumps(what, separators=(",", ":")))


class Link:
    """One connection to another member; a question at a time, JSON by lines."""

    def __init__(self, address: str, context: ssl.SSLContext, port: int = PORT) -> None:
        self._address, self._context, self._port = address, context, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._lock = asyncio.Lock()

    async def ask(self, message: Message, patience: float = 2.0) -> Message | None:
        """None when there is no answer."""
        async with self._lock:
            try:
                return await asyncio.wait_for(self._ask(message), patience)
            except (OSError, asyncio.TimeoutError, ValueError, asyncio.IncompleteReadError):
                self.close()
                return None

    async def _ask(self, message: Message) -> Message:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._address, self._port, ssl=self._context, limit=_LARGEST)
        reader, writer = self._streams
        writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        await writer.drain()
        answer: Message = json.loads(await reader.readuntil(b"\n"))
        return answer

    def close(self) -> None:
        if self._streams:
            self._streams[1].transport.abort()
            self._streams = None


class Etcd:
    """This server's member. ``leading(True/False)`` is called when it begins and when it ceases to lead."""

    kind = "etcd"

    def __init__(self, folder: Path, name: str, address: str, port: int = PORT) -> None:
        self._folder, self.name, self.address, self._port = folder, name, address, port
        self.state: State = empty()
        self.term = self.index = self.entry_term = 0
        self._voted = ""
        self._role = "follower"
        self._leader = ""
        self._heard = self._led_at = 0.0
        self._recent: deque[Message] = deque(maxlen=400)
        self._acknowledged: dict[str, tuple[int, float]] = {}
        self._links: dict[str, Link] = {}
        self._senders: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Condition()
        self._order = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.AbstractServer | None = None
        self._visitors: set[asyncio.StreamWriter] = set()
        self._contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
        self.removed = False
        self._answers = {"vote": self._on_vote, "append": self._on_append, "propose": self._on_propose, "join": self.join}
        self.leading: Callable[[bool], None] = lambda _leads: None

    # What is kept.

    def load(self) -> None:
        if initialised(self._folder):
            read = saved(self._folder)
            self.term, self._voted, self.state = read["term"], read["voted"], read["state"]
            self.index, self.entry_term = read["index"], read["entry_term"]

    def _save(self) -> None:
        kept = {"term": self.term, "voted": self._voted, "index": self.index, "entry_term": self.entry_term, "state": self.state}
        save(self._folder, kept)

    def create(self) -> None:
        """The first member of a new cluster."""
        self.state["members"] = [self.member(learner=False)]
        self._save()

    def member(self, learner: bool) -> Message:
        return {"name": self.name, "address": self.address, "learner": learner}

    # Who is there.

    def _members(self) -> list[Message]:
        members: list[Message] = self.state["members"]
        return members

    def _others(self) -> list[Message]:
        return [member for member in self._members() if member["name"] != self.name]

    def _majority(self, names: set[str]) -> bool:
        voters = {member["name"] for member in self._members() if not member["learner"]}
        return len(voters & names) * 2 > len(voters)

    def leader(self) -> str:
        """The leader's address; empty when this member leads or nobody is known to."""
        if self._role == "leader":
            return ""
        return next((member["address"] for member in self._members() if member["name"] == self._leader), "")

    def available(self) -> bool:
        """Is there a leader that most members follow, and is this one of them?"""
        if self.removed:
            return False
        return self._role == "leader" or (bool(self.leader()) and time.monotonic() - self._led_at < _SILENCE)

    # Its life.

    async def start(self, inward: ssl.SSLContext, outward: ssl.SSLContext) -> None:
        self._contexts = (inward, outward)
        self._server = await asyncio.start_server(self._serve, self.address, self._port, ssl=inward, limit=_LARGEST)
        self._heard = time.monotonic()
        self._tasks.append(asyncio.create_task(self._live()))

    async def stop(self) -> None:
        self._step_down(self.term)
        for task in self._tasks:
            task.cancel()
        if self._server:
            self._server.close()
        for link in self._links.values():
            link.close()
        for visitor in tuple(self._visitors):
            visitor.transport.abort()

    def link(self, address: str) -> Link:
        assert self._contexts
        return self._links.setdefault(address, Link(address, self._contexts[1], self._port))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._visitors.add(writer)
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                message = json.loads(await reader.readuntil(b"\n"))
                answer = await self._answers[message["do"]](message)
                writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
                await writer.drain()
        self._visitors.discard(writer)
        writer.close()

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(_BEAT / 2)
            if self.removed:
                continue
            now = time.monotonic()
            if self._role == "leader":
                alive = {name for name, (_index, heard) in self._acknowledged.items() if now - heard < _SILENCE}
                if not self._majority(alive | {self.name}):
                    log.warn("etcd: lost leader: most members are silent")
                    self._step_down(self.term)
            elif self._votes() and (not self._others() or now - self._heard > _SILENCE * random.uniform(1.0, 1.8)):
                await self._campaign()

    def _votes(self) -> bool:
        return any(member["name"] == self.name and not member["learner"] for member in self._members())

    # Elections.

    async def _campaign(self) -> None:
        self._heard = time.monotonic()
        self._role, self._leader = "candidate", ""
        self.term += 1
        self._voted = self.name
        self._save()
        term = self.term
        message = {"do": "vote", "term": term, "name": self.name, "index": self.index, "entry_term": self.entry_term}
        answers = await asyncio.gather(*(self.link(other["address"]).ask(message, 1.5) for other in self._others()))
        votes = {self.name}
        for other, answer in zip(self._others(), answers):
            if answer and answer.get("removed"):
                self._be_removed()
            elif answer and answer["term"] > self.term:
                self._step_down(answer["term"])
            elif answer and answer["granted"]:
                votes.add(other["name"])
        if self.term == term and self._role == "candidate" and self._majority(votes):
            self._lead()

    async def _on_vote(self, message: Message) -> Message:
        if message["name"] not in {member["name"] for member in self._members()}:
            return {"term": self.term, "granted": False, "removed": self.available()}
        if self.available():
            return {"term": self.term, "granted": False}
        if message["term"] > self.term:
            self._step_down(message["term"])
        knows = (message["entry_term"], message["index"]) >= (self.entry_term, self.index)
        granted = message["term"] == self.term and self._voted in ("", message["name"]) and knows
        if granted:
            self._voted = message["name"]
            self._heard = time.monotonic()
            self._save()
        return {"term": self.term, "granted": granted}

    def _lead(self) -> None:
        log.info(f"etcd: {self.name} became leader at term {self.term}")
        self._role, self._leader = "leader", self.name
        self._recent.clear()
        self._acknowledged = {other["name"]: (0, time.monotonic()) for other in self._others()}
        self._tend()
        self.leading(True)

    def _step_down(self, term: int) -> None:
        led = self._role == "leader"
        self._role, self._leader = "follower", ""
        if term > self.term:
            self.term, self._voted = term, ""
            self._save()
        for sender in self._senders.values():
            sender.cancel()
        self._senders = {}
        if led:
            self._heard = time.monotonic()
            self.leading(False)

    def _be_removed(self) -> None:
        if not self.removed:
            self.removed = True
            self._step_down(self.term)
            log.info("this node has been removed from the cluster please restart k3s to rejoin the cluster")
            write(self._folder / "tombstone", "")

    # Changes.

    async def propose(self, change: Change) -> None:
        """Returns when most members keep the change; NoQuorum when that cannot be said."""
        if self._role != "leader":
            leader = self.leader()
            answer = await self.link(leader).ask({"do": "propose", "change": change}, _ANSWER + 2) if leader else None
            if not answer or not answer["kept"]:
                raise NoQuorum("etcdserver: no leader")
            return
        async with self._order:
            if self._role != "leader":
                raise NoQuorum("etcdserver: leader changed")
            before = {"index": self.index, "entry_term": self.entry_term}
            self.index, self.entry_term = self.index + 1, self.term
            apply(self.state, change)
            self._recent.append({"before": before, "index": self.index, "entry_term": self.term, "change": change})
            self._save()
            index = self.index
            self._tend()
        await self._wake()
        try:
            await asyncio.wait_for(self._until(lambda: self._kept(index)), _ANSWER)
        except asyncio.TimeoutError:
            raise NoQuorum("etcdserver: request timed out") from None

    async def _on_propose(self, message: Message) -> Message:
        try:
            await self.propose(message["change"])
        except NoQuorum:
            return {"kept": False}
        return {"kept": True}

    def _kept(self, index: int) -> bool:
        return self._majority({name for name, (known, _heard) in self._acknowledged.items() if known >= index} | {self.name})

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with self._news:
            await self._news.wait_for(holds)

    def _tend(self) -> None:
        """A sender for each member that has none; one that was removed hears of it and is then left."""
        for other in self._others():
            if other["name"] not in self._senders:
                self._acknowledged.setdefault(other["name"], (0, time.monotonic()))
                self._senders[other["name"]] = asyncio.create_task(self._send(other["name"], other["address"]))

    async def _send(self, name: str, address: str) -> None:
        link, known = self.link(address), (-1, -1)
        last = False
        while not last:
            last = name not in {member["name"] for member in self._members()}
            answer = await link.ask(self._append(known))
            if answer and answer["term"] > self.term:
                self._step_down(answer["term"])
                return
            if answer:
                known = (answer["index"], answer["entry_term"])
                fresh = known == (self.index, self.entry_term)
                self._acknowledged[name] = (known[0] if fresh or self._is_recent(known) else 0, time.monotonic())
                await self._wake()
                if fresh:
                    await self._promote(name)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(
                    self._until(lambda at=known, heard=bool(answer): heard and at != (self.index, self.entry_term)), _BEAT
                )
            if not answer:
                await asyncio.sleep(_BEAT)
        self._senders.pop(name, None)
        self._acknowledged.pop(name, None)

    def _is_recent(self, known: tuple[int, int]) -> bool:
        return any((entry["index"], entry["entry_term"]) == known for entry in self._recent)

    def _append(self, known: tuple[int, int]) -> Message:
        message: Message = {
            "do": "append",
            "term": self.term,
            "leader": self.name,
            "index": self.index,
            "entry_term": self.entry_term,
        }
        if known == (self.index, self.entry_term):
            return message
        starts = [n for n, entry in enumerate(self._recent) if (entry["before"]["index"], entry["before"]["entry_term"]) == known]
        if starts:
            return {**message, "entries": list(self._recent)[starts[0] :]}
        return {**message, "state": self.state} if known != (-1, -1) else message

    async def _on_append(self, message: Message) -> Message:
        if message["term"] < self.term:
            return {"term": self.term, "index": self.index, "entry_term": self.entry_term}
        if message["term"] > self.term or self._role != "follower":
            self._step_down(message["term"])
        if self._leader != message["leader"]:
            log.info(f"etcd: {self.name} follows {message['leader']} at term {self.term}")
        self._leader = message["leader"]
        self._heard = self._led_at = time.monotonic()
        changed = False
        for entry in message.get("entries", []):
            if (entry["before"]["index"], entry["before"]["entry_term"]) == (self.index, self.entry_term):
                apply(self.state, entry["change"])
                self.index, self.entry_term, changed = entry["index"], entry["entry_term"], True
        if "state" in message:
            self.state, changed = message["state"], True
            self.index, self.entry_term = message["index"], message["entry_term"]
        if changed:
            self._save()
            if self.name not in {member["name"] for member in self._members()}:
                self._be_removed()
        return {"term": self.term, "index": self.index, "entry_term": self.entry_term}

    # Members.

    async def _promote(self, name: str) -> None:
        if any(member["name"] == name and member["learner"] for member in self._members()):
            members = [{**member, "learner": member["learner"] and member["name"] != name} for member in self._members()]
            asyncio.get_running_loop().create_task(self._quietly({"members": members}))

    async def _quietly(self, change: Change) -> None:
        with contextlib.suppress(NoQuorum):
            await self.propose(change)

    async def join(self, message: Message) -> Message:
        """A new member, or one that asks again; its node must not be there under another name."""
        if self._role != "leader":
            return {"leader": self.leader()}
        new = message["member"]
        node = new["name"].rpartition("-")[0]
        for member in self._members():
            if member["name"] != new["name"] and member["name"].rpartition("-")[0] == node:
                return {"error": "duplicate node name found, please use a unique name for this node"}
        if new["name"] not in {member["name"] for member in self._members()}:
            if any(member["learner"] for member in self._members()):
                return {"error": "etcdserver: too many learner members in cluster"}
            try:
                await self.propose({"members": [*self._members(), {**new, "learner": True}]})
            except NoQuorum as error:
                return {"error": str(error)}
        return {"joined": True}

    async def remove(self, name: str) -> None:
        """Only where this member leads. A leader that removes itself hands over by stepping down."""
        left = [member for member in self._members() if member["name"] != name]
        if len(left) == len(self._members()) or not left:
            return
        log.info(f"Removing name={name} from etcd")
        await self.propose({"members": left})
        if name == self.name:
            self._be_removed()
