# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import stat
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.attributes import differing, unescaped
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.attributes import (
    parse as parse_attributes,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.changes import Changes, Trust, changes
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.comparing import differing_facts
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.listing import Entry
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.sending import batches, shares
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.shell import BLOCK
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.sparse import escaped, filled

FILE, FOLDER, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777
TRUST = Trust(since=1000)


def entry(name: str, mode: int = FILE, **more: Any) -> Entry:
    return Entry(name.encode(), mode, **{"owner": (0, 0), "size": 10, "modified": 500, "changed": 500, **more})


def listing(*entries: Entry) -> dict[bytes, Entry]:
    return {one.name: one for one in (entry(".", FOLDER), *entries)}


def names(entries: list[Entry]) -> list[str]:
    return [one.name.decode() for one in entries]


def test_nothing_to_do() -> None:
    tree = listing(entry("./d", FOLDER), entry("./d/f"), entry("./l", LINK, target=b"x"))
    assert not changes(tree, tree, TRUST)


def test_a_first_copy() -> None:
    tree = listing(entry("./d", FOLDER), entry("./d/e", FOLDER), entry("./d/e/f"), entry("./l", LINK, target=b"x"))
    found = changes(tree, listing(), Trust())
    assert names(found.folders) == ["./d", "./d/e"]
    assert (names(found.files), names(found.others)) == (["./d/e/f"], ["./l"])
    assert names(found.facts) == ["./l", "./d/e", "./d", "."]


def test_without_trust_all_is_sent() -> None:
    tree = listing(entry("./f"))
    assert names(changes(tree, tree, Trust()).files) == ["./f"]


def one_file(here: Entry, there: Entry, trust: Trust = TRUST) -> Changes:
    return changes(listing(here), listing(there), trust)


def test_what_makes_a_file_another() -> None:
    for change in ({"size": 11}, {"modified": 501}):
        assert names(one_file(entry("./f")._replace(**change), entry("./f")).files) == ["./f"]
    for change in ({"owner": (1, 0)}, {"mode": stat.S_IFREG | 0o600}):
        found = one_file(entry("./f")._replace(**change), entry("./f"))
        assert (found.files, names(found.facts)) == ([], ["./f"])
    fine = one_file(entry("./f", nanoseconds=5), entry("./f"), Trust(1000, fine_times=True))
    assert names(fine.files) == names(fine.facts)[:1] == ["./f"]


def test_of_a_late_change_the_digests_decide() -> None:
    late = entry("./f", changed=998)
    found = one_file(late, entry("./f"))
    assert (names(found.doubtful), found.files) == (["./f"], [])
    assert not one_file(late, entry("./f"), Trust(1000, equal={b"./f": True}))
    assert names(one_file(late, entry("./f"), Trust(1000, equal={b"./f": False})).files) == ["./f"]


def test_kinds_that_change() -> None:
    found = changes(
        listing(entry("./a", FOLDER), entry("./a/x"), entry("./b")),
        listing(entry("./a"), entry("./b", FOLDER), entry("./b/y"), entry("./b/y2")),
        TRUST,
    )
    assert found.remove == [b"./b/y", b"./b/y2", b"./a", b"./b"]
    assert (names(found.folders), names(found.files)) == (["./a"], ["./a/x", "./b"])


def test_hard_links_go_together() -> None:
    here = listing(entry("./a", group=7), entry("./b", group=7))
    assert not changes(here, listing(entry("./a", group=3), entry("./b", group=3)), TRUST)
    for there in (
        listing(entry("./a"), entry("./b")),
        listing(entry("./a")),
        listing(entry("./a", group=3), entry("./b", group=4)),
    ):
        found = changes(here, there, TRUST)
        assert names(found.files) == ["./a"]
        assert [(first, link.name) for first, link in found.links] == [(b"./a", b"./b")]
    apart = changes(listing(entry("./a"), entry("./b")), here, TRUST)
    assert (names(apart.files), apart.links) == (["./a", "./b"], [])


def test_facts_that_differ() -> None:
    here = listing(entry("./a", group=7), entry("./b", group=7), entry("./c"))
    there = listing(entry("./a"), entry("./b"), entry("./d"))
    assert sorted(set(differing_facts(here, there, fine_times=False))) == [b"./a", b"./c", b"./d"]
    assert not list(differing_facts(here, here, fine_times=True))


def test_holes_are_not_sent() -> None:
    zeros, ones = bytes(BLOCK), b"1" * BLOCK
    assert list(filled(64, zeros + ones + ones + zeros * 3 + b"end")) == [(65, ones + ones), (70, b"end".ljust(BLOCK, b"\0"))]
    assert [(first, len(data) // BLOCK) for first, data in filled(0, ones * 20)] == [(0, 16), (16, 4)]
    assert list(filled(0, zeros[:100])) == list(filled(0, b"")) == []


def test_names_for_a_shell() -> None:
    assert escaped(b"a\n\xff") == "\\0141\\0012\\0377"


def test_batches() -> None:
    files = [entry(f"./{number}", size=size) for number, size in enumerate((10, 10, 100, 5))]
    assert [names(batch) for batch in batches(files, most_bytes=20)] == [["./0", "./1"], ["./2"], ["./3"]]
    assert [len(batch) for batch in batches(files, most_names=8)] == [2, 2]
    assert list(batches([])) == []
    files = [entry(f"./{number}", size=10) for number in range(40)]
    assert [len(batch) for batch in shares(files, 4, least=20, most=80)] == [8, 8, 6, 4, 3, 2, 2, 2, 2, 2, 1]


def test_attributes() -> None:
    output = b"# file: a\\012b\nuser.x=0x01\nuser.empty\n\n# file: c\nuser.y=0x02\n\n# read\n"
    here = parse_attributes(output)
    assert here == {b"a\\012b": {b"user.x": b"0x01", b"user.empty": b""}, b"c": {b"user.y": b"0x02"}}
    assert parse_attributes(output[:-3]) is None
    restore, extra = differing(here, {b"c": {b"user.y": b"0x02", b"user.z": b"0x03"}})
    assert restore == b"# file: a\\012b\nuser.empty\nuser.x=0x01\n\n"
    assert extra == [(b"c", b"user.z")]
    assert unescaped(b"a\\012b\\134") == b"a\nb\\"
