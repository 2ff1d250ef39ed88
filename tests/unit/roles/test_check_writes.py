# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge of the demo must be able to say no."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "roles" / "demo_guest" / "files" / "check_writes.py"


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("check_writes", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def area(numbers, size=10):
    """A data area whose sector k holds record k + 1, for the numbers that are there."""
    sectors = [f"write {n:012d}\n".encode().ljust(512, b"\0") if n in numbers else bytes(512) for n in range(1, size + 1)]
    return io.BytesIO(b"".join(sectors))


def verdict(program, numbers, *logs):
    return program.judge(program.acknowledged(logs), program.records(area(numbers)))


def test_all_there(program):
    told = verdict(program, {1, 2, 3}, b"boot\nack 1\r\nack 2\r\n", b"ack 3\n")
    assert (told["acknowledged"], told["found"], told["lost"], told["contiguous"]) == (3, 3, 0, True)


def test_a_write_that_was_not_acknowledged_may_be_there_or_not(program):
    assert verdict(program, {1, 2}, b"ack 1\n")["lost"] == 0


def test_an_acknowledged_write_that_is_not_there_is_lost(program):
    told = verdict(program, {1, 3}, b"ack 1\nack 2\nack 3\n")
    assert (told["lost"], told["missing"], told["contiguous"]) == (1, [2], False)


def test_a_number_acknowledged_twice_was_lost_once(program):
    assert verdict(program, {1, 2}, b"ack 1\nack 2\n", b"ack 2\n")["lost"] == 1


def test_half_a_line_acknowledges_nothing(program):
    assert program.acknowledged([b"ack 1\nack 12"]) == {1: 1}


def test_a_record_in_anothers_place_is_none(program):
    moved = io.BytesIO(bytes(512) + area({1}, 1).getvalue())
    assert program.records(moved) == set()
