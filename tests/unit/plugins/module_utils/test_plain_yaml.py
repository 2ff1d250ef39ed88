# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read without PyYAML is what PyYAML reads, and what is not read is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.plain_yaml import NotPlain, read

ROOT = Path(__file__).parents[4]
READ = [
    "",
    "# nothing\n\n",
    "---\na: 1\n",
    "a: 1 # one\nb: x#y\nc: 'it''s' # said\nd: \"tab\\t, line\\n, quote \\\"\"\n",
    "write-kubeconfig-mode: 0644\nmode: '0600'\nsize: -12\nshare: 0.5\n",
    "cron: 0 */12 * * *\naddress: 10.213.81.11\nsix: fd00::1\nurl: https://10.0.0.1:6443/a?b#c\n",
    "true: yes\nnone: ~\nempty:\nalso: null\noff: Off\nname: y\n",
    "tls-san:\n- a\n- b\nkubelet-arg:\n  - x=1\n  - y=a,b\nempty: []\n",
    "tls-san+: [a, 'b, c', \"d\", 1, true, http://x:5000/v2, ]\nnested: {a: [1, {b: c}], 'd': null, \"e f\": {}}\n",
    'mirrors:\n  "*":\n    endpoint:\n      - "http://10.0.0.9:5000"\n  mirror.example.com:5000:\n    endpoint: ["https://a"]\n',
    "rules:\n-   level: None\n    users: [system:kube-proxy]\n    resources:\n    - group: ''\n      resources: [endpoints]\n- level: Metadata\n",
    "- - a\n  - b\n-\n  c: d\n- # nothing\n- e:\n  f: g\n",
    "just a scalar\n",
    "'quoted: key': 1\n",
    "a: b:c\n",
    "a:   spaced   \r\n",
    "key with words: value with words\nunder_score: _\ndash: -x\n",
    "ends: 1.\nbig: 123456789012345678901234567890\nplus: +5\nversion: 1.36.1+k3s1\n",
    "same: 1\nsame: 2\n",
]
REFUSED = [
    "a: &x 1\nb: *x\n",
    "a: |\n  text\n",
    "a: >-\n  text\n",
    "a: !!str 1\n",
    "<<: {a: 1}\n",
    "a: 2026-11-25\n",
    "a: 1_000\n",
    "a: 0x1f\n",
    "a: 12:30:45\n",
    "a: 1.0e+3\n",
    "a: .inf\n",
    "a: one\n  two\n",
    'a: "one\n  two"\n',
    "a: [1,\n  2]\n",
    "a: 1\n---\nb: 2\n",
    "a: 1\n...\n",
    "%YAML 1.1\n---\na: 1\n",
    "a: {b}\n",
    "a: [b: c]\n",
    'a: "\\x41"\n',
    "a: 1\n b: 2\n",
    "a: 'open\n",
    "a: [1, 2\n",
    "? a\n: b\n",
    "a:\n\tb: 1\n",
    "a:\tb\n",
    "a: b\t\n",
    "a: b: c\n",
    "a: @x\n",
    "[a]: 1\n",
    "\x00",
    "[" * 200,
    "- " * 200 + "a",
]


@pytest.mark.parametrize("text", READ)
def test_it_is_read_as_pyyaml_reads_it(text):
    assert read(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", REFUSED)
def test_it_is_refused_with_its_line(text):
    with pytest.raises(NotPlain, match=r"^line \d+$"):
        read(text)


def a_value(dice, depth=0):
    words = [
        "a",
        "x=1",
        "true",
        "no",
        "0600",
        "0 1 * * *",
        "10.0.0.1",
        "a: b",
        "# c",
        "",
        "~",
        "-",
        "it's",
        "http://h:1/#x",
        "é",
        "a\tb",
    ]
    kinds = ["word", "word", "number", "list", "mapping"] if depth < 4 else ["word", "number"]
    kind = dice.choice(kinds)
    if kind == "word":
        return dice.choice(words)
    if kind == "number":
        return dice.choice([0, -3, 12, True, False, None, 0.5, 1e30])
    if kind == "list":
        return [a_value(dice, depth + 1) for _number in range(dice.randrange(4))]
    return {dice.choice(words): a_value(dice, depth + 1) for _number in range(dice.randrange(4))}


def test_what_was_written_by_pyyaml_is_read_or_refused():
    dice, numbers = random.Random(7), {"read": 0, "refused": 0}
    for _number in range(3000):
        text = yaml.safe_dump(
            {"top": a_value(dice)},
            allow_unicode=True,
            default_flow_style=dice.choice([True, False, None]),
            indent=dice.choice([2, 4]),
        )
        try:
            found = read(text)
        except NotPlain:
            numbers["refused"] += 1
            continue
        numbers["read"] += 1
        assert found == yaml.safe_load(text), text
    assert numbers["read"] > 2000, numbers


def test_broken_text_is_never_read_as_something_else():
    dice = random.Random(11)
    whole = "".join(READ)
    for _number in range(5000):
        start = dice.randrange(len(whole))
        text = whole[start : start + dice.randrange(60)]
        at = dice.randrange(len(text) + 1)
        text = text[:at] + dice.choice(":-#'\"[]{},&*!|>? \n\t~0") + text[at:]
        try:
            found = read(text)
        except NotPlain:
            continue
        assert found == yaml.safe_load(text), text
