# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever happens in whatever order: never two running copies, and always a way to one."""

from __future__ import annotations

from collections import deque

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration import journal as journals
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.journal import Journal, may_run, ways
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import MigrationFailed
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

ENTRY = Journal("id", "shop", "workloads", "es", "de", "uid-es", "uid-de", journals.COPYING, "2026-01-01T00:00:00+00:00")
FAR = (journals.COMPLETED, journals.RELEASED)


def test_it_comes_back_as_it_was_written() -> None:
    assert Journal.from_dict(ENTRY.to_dict()) == ENTRY
    assert Journal.from_dict({**ENTRY.to_dict(), "colour": "blue"}) == ENTRY
    assert Journal.from_dict(None) is None


@pytest.mark.parametrize("change", [{"version": 2}, {"phase": "dreaming"}, {"step": "asleep"}])
def test_one_from_a_newer_version_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(MigrationFailed, match="version of the collection"):
        Journal.from_dict({**ENTRY.to_dict(), **change})


def test_a_step_needs_its_proof() -> None:
    stopping = ENTRY.moved_to(journals.SYNCED).moved_to(journals.STOPPING)
    assert (stopping.phase, stopping.state) == (journals.SWITCHING, journals.STOPPING)
    with pytest.raises(MigrationFailed, match="before nothing of it runs at the source"):
        stopping.moved_to(journals.STOPPED)
    with pytest.raises(MigrationFailed, match="cannot be completed after it was stopping"):
        stopping.moved_to(journals.COMPLETED, journals.TARGET_WORKS)
    assert stopping.moved_to(journals.STOPPED, journals.SOURCE_RESTS).state == journals.STOPPED


@pytest.mark.parametrize("state", journals.STATES)
def test_every_state_leads_to_a_running_copy_and_until_the_end_back(state: str) -> None:
    found, queue = {state}, deque([state])
    while queue:
        for after in ways(queue.popleft()):
            if after not in found:
                found.add(after)
                queue.append(after)
    assert any(may_run(after) is not None and after not in journals.STEPS for after in found)
    if state not in FAR:
        assert journals.ABORTED in found


@pytest.mark.parametrize("state", journals.STATES)
def test_the_copy_that_may_run_changes_only_with_a_proof(state: str) -> None:
    """From one end to the other there is no single step, and none without having seen that the first one rests."""
    for after, proof in ways(state).items():
        before, then = may_run(state), may_run(after)
        if before == journals.SOURCE and then != journals.SOURCE:
            assert then is None and proof == journals.SOURCE_RESTS
        if before == journals.TARGET and then != journals.TARGET:
            assert proof == journals.TARGET_RESTS


@given(st.integers(1, 300))
def test_events_stay_few(count: int) -> None:
    entry = ENTRY
    for moment in range(count):
        entry = entry.noted("round", float(moment), None)
        entry = entry.noted("round", float(moment), moment + 0.5)
    assert len(entry.events) == min(count, 200)
    assert entry.events[-1] == {"phase": "round", "began": float(count - 1), "ended": count - 0.5}


class World(RuleBasedStateMachine):
    """Two ends, a journal, and runs that do what the journal permits, or die between any two of their acts.

    An end's copy starts only when the journal says that it may, which is the one thing that the code promises for itself; proofs
    are read from the ends.
    """

    @initialize()
    def begin(self) -> None:
        self.journal = ENTRY
        self.source = self.target = False
        self.source = True

    @rule(data=st.data())
    def the_journal_moves(self, data: st.DataObject) -> None:
        after = data.draw(st.sampled_from([*ways(self.journal.state), self.journal.state]))
        proofs = {
            journals.NOTHING: True,
            journals.SOURCE_RESTS: not self.source,
            journals.TARGET_RESTS: not self.target,
            journals.TARGET_WORKS: self.target,
            journals.SOURCE_WORKS: self.source,
        }
        proof = ways(self.journal.state).get(after, journals.NOTHING)
        if proofs[proof]:
            self.journal = self.journal.moved_to(after, proof)
        elif after != self.journal.state:
            with pytest.raises(MigrationFailed):
                self.journal.moved_to(after)

    @precondition(lambda self: self.journal.state in (journals.STOPPING, journals.STOPPED))
    @rule()
    def the_source_is_put_to_rest(self) -> None:
        self.source = False

    @precondition(lambda self: self.journal.state == journals.TAKING_BACK)
    @rule()
    def the_target_is_put_to_rest(self) -> None:
        self.target = False

    @precondition(lambda self: may_run(self.journal.state) == journals.SOURCE and self.journal.state != journals.STOPPING)
    @rule()
    def the_source_is_woken(self) -> None:
        self.source = True

    @precondition(lambda self: self.journal.state == journals.STARTING)
    @rule()
    def the_target_is_woken(self) -> None:
        self.target = True

    @invariant()
    def never_two(self) -> None:
        assert not (self.source and self.target)

    @invariant()
    def one_where_it_stands_still(self) -> None:
        state = self.journal.state
        if state in (journals.COPYING, journals.SYNCED, journals.ABORTED):
            assert self.source
        if state in FAR:
            assert self.target


TestWorld = World.TestCase
