# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading what a person wrote, field by field."""

from __future__ import annotations

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.fields import Fields, unique


def refusal(read):
    with pytest.raises(InputError) as caught:
        read()
    return caught.value


def test_every_path_is_whole():
    assert Fields({}, "sites[2]").path("name") == "sites[2].name"
    assert Fields({}, "").path("name") == "name"


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_what_is_no_mapping_is_refused(data):
    assert refusal(lambda: Fields(data, "disks[0]")).option == "disks[0]"


def test_null_counts_as_not_given():
    fields = Fields({"a": None}, "")
    assert fields.text("a", "default") == "default"
    assert refusal(lambda: fields.text("a", required=True)).option == "a"


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "x" * 64, "{{ x }}", "ä", "a\n"])
def test_names_that_are_not_usable_are_refused(name):
    error = refusal(lambda: Fields({"name": name}, "vm").name())
    assert error.option == "vm.name"
    assert error.remedy


@pytest.mark.parametrize("name", ["a", "A.b-c_1", "9", "x" * 63])
def test_usable_names_are_kept(name):
    assert Fields({"name": name}, "").name() == name


@pytest.mark.parametrize(
    ("getter", "wrong"),
    [
        (lambda fields: fields.text("key"), 5),
        (lambda fields: fields.choice("key", ("a", "b"), "a"), "c"),
        (lambda fields: fields.boolean("key", False), "yes"),
        (lambda fields: fields.integer("key", 1, 1, 9), 10),
        (lambda fields: fields.integer("key", 1, 0, 9), True),
        (lambda fields: fields.number("key", -90, 90), 91),
        (lambda fields: fields.size("key"), "much"),
        (lambda fields: fields.texts("key"), [1]),
        (lambda fields: fields.text_map("key"), {"a": 1}),
        (lambda fields: fields.mappings("key"), ["a"]),
        (lambda fields: fields.each("key", lambda item, path: item), "abc"),
    ],
)
def test_each_getter_names_the_key_and_a_remedy(getter, wrong):
    error = refusal(lambda: getter(Fields({"key": wrong}, "top")))
    assert error.option == "top.key"
    assert error.remedy


def test_items_are_read_with_their_path():
    fields = Fields({"disks": ["x", "y"]}, "vm")
    assert fields.each("disks", lambda item, path: (item, path)) == (("x", "vm.disks[0]"), ("y", "vm.disks[1]"))


def test_a_key_that_nobody_asked_for_is_refused_with_the_nearest_one():
    fields = Fields({"memroy": 1}, "")
    fields.get("memory")
    error = refusal(fields.finish)
    assert (error.option, error.remedy) == ("memroy", "did you mean memory?")


def test_doubles_are_refused():
    unique(["a", "b"], "names")
    assert refusal(lambda: unique(["a", "b", "a"], "names")).value == "a"
