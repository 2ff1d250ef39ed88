# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest is given for its first boot: refused by the path of the key, and rendered the same every time."""

from __future__ import annotations

import json
import random

import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.module_utils.cloud_init.seed import CloudInit, secrets
from ansible_collections.virt8ra.federation.plugins.module_utils.cloud_init.user_data import TOP
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from hypothesis import given
from hypothesis import strategies as st

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJemaQQVaxMqpHJWRv247qkZpWY0DI36MZBY7vSjyfb ops@example"
PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n"
SECRET = "hunter2-hunter2"
GOOD = {
    "user_data": {
        "users": ["default", {"name": "ops", "sudo": "ALL=(ALL) NOPASSWD:ALL", "ssh_authorized_keys": [KEY], "uid": 1500}],
        "ssh_pwauth": False,
        "chpasswd": {"expire": False, "users": [{"name": "ops", "password": SECRET, "type": "text"}]},
        "write_files": [{"path": "/etc/motd", "content": "hello\n", "permissions": "0644"}],
        "packages": ["nginx", ["curl", "7.88"]],
        "bootcmd": ["true"],
        "runcmd": [["echo", "a"], "echo b"],
        "growpart": {"mode": "auto", "devices": ["/"]},
        "ntp": None,
        "resize_rootfs": True,
        "mounts": [["/dev/vdb", "/srv", "ext4", "defaults", "0", 2]],
    },
    "network_config": {
        "version": 2,
        "ethernets": {
            "lan": {
                "match": {"macaddress": "52:54:00:12:34:56"},
                "set-name": "lan0",
                "addresses": ["192.0.2.10/24", "2001:db8::10/64"],
                "routes": [{"to": "default", "via": "192.0.2.1"}],
                "nameservers": {"addresses": ["192.0.2.53"], "search": ["example.org"]},
            }
        },
        "vlans": {"lan.7": {"id": 7, "link": "lan", "dhcp4": True}},
    },
    "meta_data": {"availability-zone": "es-1"},
    "ssh_host_keys": {"ed25519_private": PRIVATE, "ed25519_public": KEY},
}


def read(**parts):
    return CloudInit.from_dict(parts)


def files(**parts):
    return {name: yaml.safe_load(content) for name, content in read(**parts).files("web-1", "uuid-1").items()}


def test_what_was_written_is_what_the_guest_reads():
    told = files(**GOOD)
    assert told["user-data"] == {**GOOD["user_data"], "ssh_keys": GOOD["ssh_host_keys"]}
    assert told["network-config"] == GOOD["network_config"]
    assert told["meta-data"] == {"instance-id": "uuid-1", "local-hostname": "web-1", "availability-zone": "es-1"}


def test_the_user_data_begin_as_cloud_init_wants_it():
    assert read(**GOOD).files("web-1", "u")["user-data"].startswith(b"#cloud-config\n")


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_any_text_survives_the_rendering(content):
    assert files(user_data={"write_files": [{"path": "/a", "content": json.dumps(content)}]})["user-data"]["write_files"][0][
        "content"
    ] == json.dumps(content)
    told = files(meta_data={"tags": content})
    assert told["meta-data"]["tags"] == content


def shuffled(value, order):
    if isinstance(value, dict):
        keys = list(value)
        order.shuffle(keys)
        return {key: shuffled(value[key], order) for key in keys}
    return value


def test_the_order_of_keys_does_not_count():
    first = read(**GOOD)
    second = read(**shuffled(GOOD, random.Random(3)))
    assert first.files("web-1", "u") == second.files("web-1", "u")
    assert first.digest("web-1") == second.digest("web-1")


def test_the_digest_changes_with_everything_that_the_guest_would_see():
    digests = {read(**GOOD).digest("web-1")}
    digests.add(read(**{**GOOD, "instance_id": "second"}).digest("web-1"))
    digests.add(read(**{**GOOD, "meta_data": {}}).digest("web-1"))
    digests.add(read(**{**GOOD, "ssh_host_keys": None}).digest("web-1"))
    digests.add(read(**{**GOOD, "network_config": None}).digest("web-1"))
    digests.add(read(**{**GOOD, "user_data": {**GOOD["user_data"], "password": "x"}}).digest("web-1"))
    digests.add(read(**GOOD).digest("web-2"))
    assert len(digests) == 7
    assert read(**{**GOOD, "bus": "sata"}).digest("web-1") in digests, "the drive is none of the guest's data"


def test_the_instance_is_the_vm_unless_another_is_asked_for():
    assert files(**GOOD, instance_id="second")["meta-data"]["instance-id"] == "second"
    assert files(user_data={"hostname": "x"})["meta-data"] == {"instance-id": "uuid-1"}


def test_a_name_becomes_a_host_name():
    told = yaml.safe_load(read(user_data={"packages": ["a"]}).files("web_1.x-", "u")["meta-data"])
    assert told["local-hostname"] == "web-1.x"


def test_the_wrapped_network_config_is_the_same():
    assert files(network_config={"network": GOOD["network_config"]}) == files(network_config=GOOD["network_config"])


def test_nothing_means_that_there_shall_be_no_disc():
    assert read().empty and read(user_data=None, bus=None).empty
    assert not read(user_data={"packages": ["a"]}).empty


def test_secrets_are_told_from_plain_words():
    found = secrets({**GOOD, "user_data": {**GOOD["user_data"], "password": "web"}})
    assert found == {SECRET, PRIVATE}


V2 = {"version": 2}


def network(**more):
    return {"network_config": {**V2, **more}}


def user(**more):
    return {"user_data": {"users": [{"name": "ops", **more}]}}


WRONG = [
    ({"user_data": {"packges": ["x"]}}, "user_data.packges: is not a known key; did you mean packages?"),
    ({"user_data": {"qqqq": 1}}, "user_data.qqqq: is not a known key; see cloud-init's list of modules"),
    ({"user_data": {"runcmd": "reboot"}}, "user_data.runcmd: is not a list; write a list (items that start with a dash)"),
    ({"user_data": {"runcmd": [["a", 1]]}}, "user_data.runcmd[0][1]: is not a string; put it in quotes"),
    ({"user_data": {"runcmd": []}}, "user_data.runcmd: is an empty list; leave it out, or write an item"),
    (
        {"user_data": {"bootcmd": [{"a": 1}]}},
        "user_data.bootcmd[0]: is not a string or a list of strings; write a string or a list of strings",
    ),
    ({"user_data": {"password": 1234}}, "user_data.password: is not a string; put it in quotes"),
    (
        {"user_data": {"hostname": "a b"}},
        "user_data.hostname: is not a host name; use letters, digits and dashes, and dots between labels",
    ),
    (
        {"user_data": {"package_update": "yes"}},
        "user_data.package_update: is not true or false; write true or false, without quotes",
    ),
    (
        {"user_data": {"write_files": [{"content": SECRET}]}},
        "user_data.write_files[0].path: is required but not given; add the key path",
    ),
    (
        {"user_data": {"write_files": [{"path": "etc/x"}]}},
        "user_data.write_files[0].path: is not an absolute path; begin it with a slash",
    ),
    (
        {"user_data": {"write_files": [{"path": "/x", "permissions": 420}]}},
        "user_data.write_files[0].permissions: is not a string; put it in quotes",
    ),
    (
        {"user_data": {"write_files": [{"path": "/x", "permissions": "rw"}]}},
        "user_data.write_files[0].permissions: is not a file mode; write it in octal and in quotes, as '0644'",
    ),
    (
        {"user_data": {"ssh_authorized_keys": [PRIVATE]}},
        "user_data.ssh_authorized_keys[0]: is not an SSH public key; give the one line of a .pub file",
    ),
    (
        {"user_data": {"ssh_authorized_keys": KEY}},
        "user_data.ssh_authorized_keys: is not a list; write a list (items that start with a dash)",
    ),
    (
        {"user_data": {"chpasswd": {"list": ["ops"]}}},
        "user_data.chpasswd.list[0]: is not a pair of user and password; write user:password",
    ),
    (
        {"user_data": {"chpasswd": {"users": [{"name": "ops"}]}}},
        "user_data.chpasswd.users[0].password: is needed with the types hash and text, and with them alone; give a password, or type RANDOM",
    ),
    (
        {"user_data": {"growpart": {"mode": "on"}}},
        "user_data.growpart.mode: is not one of the choices; use one of auto, growpart, gpart, off, false",
    ),
    ({"user_data": {"power_state": {"delay": 1}}}, "user_data.power_state.mode: is required but not given; add the key mode"),
    (user(passwd=SECRET, groups={"x"}), "user_data.users[0].groups: is not a list of groups; write a list of groups"),
    (user(password=SECRET), "user_data.users[0].password: is not a known key; did you mean passwd?"),
    (user(uid="1500"), "user_data.users[0].uid: is not a whole number; write a number from 0, without quotes"),
    ({"user_data": {"users": [{"gecos": "x"}]}}, "user_data.users[0].name: is required but not given; add the key name"),
    (
        network(ethernets={"a": {"match": {}}}),
        "network_config.ethernets.a.match: says nothing; give macaddress, name or driver, or leave match out where the key is "
        "the interface's name",
    ),
    (
        network(ethernets={"a": {"match": {"mac": "x"}}}),
        "network_config.ethernets.a.match.mac: is not a known key; use one of driver, macaddress, name",
    ),
    (
        network(ethernets={"a": {"match": {"macaddress": "52:54"}}}),
        "network_config.ethernets.a.match.macaddress: is not a MAC address; write it in quotes, as '52:54:00:12:34:56'",
    ),
    (
        network(ethernets={"a": {"addresses": ["192.0.2.1"]}}),
        "network_config.ethernets.a.addresses[0]: has no prefix; write it as 192.0.2.10/24 or 2001:db8::10/64",
    ),
    (
        network(ethernets={"a": {"addresses": ["192.0.2.300/24"]}}),
        "network_config.ethernets.a.addresses[0]: is not an address with a prefix; write it as 192.0.2.10/24 or 2001:db8::10/64",
    ),
    (
        network(ethernets={"a": {"gateway4": "2001:db8::1"}}),
        "network_config.ethernets.a.gateway4: is not an IPv4 address; give an IPv4 address",
    ),
    (
        network(ethernets={"a": {"dhcp4": "true"}}),
        "network_config.ethernets.a.dhcp4: is not one of the choices; use one of yes, no",
    ),
    (
        network(ethernets={"a": {"set-name": "b"}}),
        "network_config.ethernets.a.set-name: needs a match; add match with a macaddress, or leave set-name out",
    ),
    (
        network(ethernets={"a": {"routes": [{"via": "192.0.2.1"}]}}),
        "network_config.ethernets.a.routes[0].to: is required but not given; add the key to",
    ),
    (
        network(ethernets={"a": {"routes": [{"to": "192.0.2.1/24", "via": "192.0.2.1"}]}}),
        "network_config.ethernets.a.routes[0].to: is not a network; write default, or a network such as 192.0.2.0/24 (its host bits are zero)",
    ),
    (
        network(ethernets={"a": {}}, bonds={"b": {"interfaces": ["c"]}}),
        "network_config.bonds.b.interfaces: names an interface that is not described; use one of a",
    ),
    (
        network(ethernets={"a": {}}, vlans={"b": {"id": 5000, "link": "a"}}),
        "network_config.vlans.b.id: is not a VLAN; use 1 to 4094",
    ),
    (network(ethernet={}), "network_config.ethernet: is not a known key; did you mean ethernets?"),
    ({"network_config": {"ethernets": {}}}, "network_config.version: is neither 1 nor 2; write version: 2"),
    (
        {"network_config": {"version": 1, "config": [{"type": "physical"}]}},
        "network_config.config[0].name: is required but not given; add the key name",
    ),
    (
        {
            "network_config": {
                "version": 1,
                "config": [{"type": "physical", "name": "eth0", "subnets": [{"type": "static", "address": "192.0.2.1"}]}],
            }
        },
        "network_config.config[0].subnets[0].address: has neither prefix nor netmask; write it as 192.0.2.10/24",
    ),
    (
        {"network_config": {"version": 1, "config": [{"type": "ethernet"}]}},
        "network_config.config[0].type: is not one of the choices; "
        "use one of physical, loopback, bond, bridge, vlan, nameserver, route",
    ),
    ({"meta_data": {"instance-id": "x"}}, "meta_data.instance-id: has an option of its own; write it as cloud_init.instance_id"),
    ({"meta_data": {"local_hostname": "x"}}, "meta_data.local_hostname: is not a known key; did you mean local-hostname?"),
    ({"meta_data": ["x"]}, "meta_data: is not a mapping; write keys and values"),
    (
        {"ssh_host_keys": {"ed25519_private": SECRET}},
        "ssh_host_keys.ed25519_private: is not a private key; give the whole file, from BEGIN to END",
    ),
    (
        {"ssh_host_keys": {"ed25519_public": KEY}},
        "ssh_host_keys.ed25519_private: is required but not given; give the private half too, or leave the public one out",
    ),
    (
        {"ssh_host_keys": {"ed25519_private": PRIVATE}, "user_data": {"ssh_keys": {"rsa_private": PRIVATE}}},
        "user_data.ssh_keys: is there beside ssh_host_keys; leave out the one or the other",
    ),
    ({"instance_id": "a/b"}, "instance_id: is not an instance ID; use letters, digits, dots, dashes and underscores"),
]


@pytest.mark.parametrize(("parts", "sentence"), WRONG, ids=[sentence.split(": ")[0] for _parts, sentence in WRONG])
def test_what_cannot_be_meant_is_refused_in_one_sentence(parts, sentence):
    with pytest.raises(InputError) as caught:
        read(**parts)
    assert str(caught.value) == f"cloud_init.{sentence}"
    assert caught.value.value is None and SECRET not in str(caught.value)


def test_the_bus_alone_says_nothing():
    with pytest.raises(InputError, match="says nothing to the guest"):
        read(bus="scsi")


@pytest.mark.parametrize("key", sorted(set(TOP) - {"merge_how", "merge_type", "output"}))
def test_every_key_has_its_type_checked(key):
    with pytest.raises(InputError, match=f"cloud_init.user_data.{key}"):
        read(user_data={key: object()})
