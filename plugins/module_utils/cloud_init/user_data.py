# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of ``#cloud-config``: which there are, of which type they are, and the common ones in full.

The keys are those of cloud-init's own schema. A module that few use has the type of its key checked and no more.
"""

from __future__ import annotations

from typing import Any

from .shapes import (
    Shape,
    absolute_path,
    anything,
    choice,
    either,
    flag,
    keys,
    list_of,
    mapping,
    mapping_of,
    matching,
    nothing,
    refuse,
    text,
    whole,
)

KEY_TYPES = ("dsa", "ecdsa", "ed25519", "rsa")

_texts = list_of(text)
_flag_or_text = either("true, false or a string", flag=flag, text=text)
_command = either("a string or a list of strings", text=text, items=_texts)
_commands = list_of(either("a string or a list of strings", text=text, items=_texts, none=nothing))
_mappings = list_of(mapping)
_mapping_or_nothing = either("a mapping", mapping=mapping, none=nothing)
_hostname = matching(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*",
    "a host name",
    "use letters, digits and dashes, and dots between labels",
)
_mode = matching(r"0?[oO]?[0-7]{3,4}", "a file mode", "write it in octal and in quotes, as '0644'")
_KEY = r"(ssh-(ed25519|rsa|dss)|ecdsa-sha2-nistp\d{3}|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
public_key = matching(
    # Options may stand before it, a comment behind it.
    rf"(.+ )?{_KEY}(-cert-v01@openssh\.com)? [A-Za-z0-9+/]+=*( .*)?\s*",
    "an SSH public key",
    "give the one line of a .pub file",
)
_login = matching(
    r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?",
    "a login name",
    "begin with a letter, and use up to 32 letters, digits, dots, dashes and underscores",
)


def private_key(value: Any, where: str) -> None:
    text(value, where)
    if not value.lstrip().startswith("-----BEGIN ") or "-----END " not in value:
        refuse("is not a private key", where, "give the whole file, from BEGIN to END")


def host_keys(value: Any, where: str) -> None:
    """``{ed25519_private: …, ed25519_public: …}``, as the key ``ssh_keys`` takes them."""
    shapes: dict[str, Shape] = {}
    for kind in KEY_TYPES:
        shapes.update({f"{kind}_private": private_key, f"{kind}_public": public_key, f"{kind}_certificate": text})
    keys(shapes)(value, where)
    if not value:
        refuse("has no key", where, "leave it out, so that the guest makes its own, or give ed25519_private and ed25519_public")
    for kind in KEY_TYPES:
        if f"{kind}_private" not in value and (f"{kind}_public" in value or f"{kind}_certificate" in value):
            refuse("is required but not given", f"{where}.{kind}_private", "give the private half too, or leave the public one out")


def _user(value: Any, where: str) -> None:
    keys(_USER)(value, where)
    if "name" not in value and "snapuser" not in value:
        refuse("is required but not given", f"{where}.name", "add the key name")
    if value.get("ssh_redirect_user") and ("ssh_authorized_keys" in value or "ssh_import_id" in value):
        refuse("does not go with keys of its own", f"{where}.ssh_redirect_user", "leave out the one or the other")


def _users(value: Any, where: str) -> None:
    listed = either("a login name or a mapping with a name", text=text, mapping=_user, items=list_of(text))
    either(
        "a list of users",
        text=text,
        items=list_of(listed, empty=True),
        mapping=mapping_of(either("a mapping", mapping=mapping, none=nothing)),
    )(value, where)


_GROUPS = either("a list of groups", text=text, items=_texts, mapping=mapping)
_USER: dict[str, Shape] = {
    "name": _login,
    "expiredate": matching(r"\d{4}-\d{2}-\d{2}", "a date", "write it in quotes, as '2030-12-31'"),
    "gecos": text,
    "groups": _GROUPS,
    "homedir": absolute_path,
    "inactive": text,
    "lock_passwd": flag,
    "no_create_home": flag,
    "no_log_init": flag,
    "no_user_group": flag,
    "passwd": text,
    "hashed_passwd": text,
    "plain_text_passwd": text,
    "create_groups": flag,
    "primary_group": text,
    "selinux_user": text,
    "shell": absolute_path,
    "snapuser": text,
    "ssh_authorized_keys": list_of(public_key),
    "ssh_import_id": _texts,
    "ssh_redirect_user": flag,
    "system": flag,
    "sudo": either("a rule, a list of rules, or null", text=text, items=_texts, none=nothing, flag=choice(False)),
    "doas": _texts,
    "uid": whole,
}


def _account(value: Any, where: str) -> None:
    keys({"name": text, "type": choice("hash", "text", "RANDOM"), "password": text}, ["name"])(value, where)
    if (value.get("type") == "RANDOM") == ("password" in value):
        refuse(
            "is needed with the types hash and text, and with them alone", f"{where}.password", "give a password, or type RANDOM"
        )


_pair = matching(r"(?s)[^:]+:.+", "a pair of user and password", "write user:password")
_CHPASSWD = keys(
    {"expire": flag, "users": list_of(_account), "list": either("a list of user:password", text=text, items=list_of(_pair))}
)
_WRITE_FILE = keys(
    {
        "path": absolute_path,
        "content": text,
        "owner": text,
        "permissions": _mode,
        "encoding": choice("gz", "gzip", "gz+base64", "gzip+base64", "gz+b64", "gzip+b64", "b64", "base64", "text/plain"),
        "append": flag,
        "defer": flag,
        "source": mapping,
    },
    ["path"],
)
_package = either("a package, or a list of its name and version", text=text, items=_texts, mapping=mapping)
_GROWPART = keys({"mode": choice("auto", "growpart", "gpart", "off", False), "devices": _texts, "ignore_growroot_disabled": flag})
_POWER_STATE = keys(
    {
        "delay": either("minutes or now", text=matching(r"now|\+?[0-9]+", "a delay", "write minutes, or now"), whole=whole),
        "mode": choice("poweroff", "reboot", "halt"),
        "message": text,
        "timeout": whole,
        "condition": either("true, false or a command", text=text, flag=flag, items=_texts),
    },
    ["mode"],
)
_NTP = keys(
    {
        "pools": list_of(text, empty=True),
        "servers": list_of(text, empty=True),
        "peers": _texts,
        "allow": _texts,
        "ntp_client": text,
        "enabled": flag,
        "config": mapping,
    }
)
_RESOLV_CONF = keys({"nameservers": _texts, "searchdomains": _texts, "domain": text, "sortlist": _texts, "options": mapping})
_mount = list_of(either("a string", text=text, whole=whole, none=nothing))

TOP: dict[str, Shape] = {
    "allow_public_ssh_keys": flag,
    "ansible": mapping,
    "apk_repos": mapping,
    "apt": mapping,
    "apt_pipelining": either("true, false, a number or os", flag=flag, whole=whole, text=text),
    "authkey_hash": text,
    "autoinstall": mapping,
    "bootcmd": _commands,
    "byobu_by_default": text,
    "ca_certs": keys({"remove_defaults": flag, "trusted": _texts}),
    "chef": mapping,
    "chpasswd": _CHPASSWD,
    "cloud_config_modules": list_of(anything, empty=True),
    "cloud_final_modules": list_of(anything, empty=True),
    "cloud_init_modules": list_of(anything, empty=True),
    "create_hostname_file": flag,
    "datasource": mapping,
    "datasource_list": _texts,
    "device_aliases": mapping_of(text),
    "disable_ec2_metadata": flag,
    "disable_root": flag,
    "disable_root_opts": text,
    "disk_setup": mapping_of(mapping),
    "drivers": mapping,
    "fan": mapping,
    "final_message": text,
    "fqdn": _hostname,
    "fs_setup": _mappings,
    "groups": either(
        "a list of groups", text=text, items=list_of(either("a name or a mapping", text=text, mapping=mapping)), mapping=mapping
    ),
    "growpart": _GROWPART,
    "grub_dpkg": mapping,
    "hostname": _hostname,
    "keyboard": mapping,
    "landscape": mapping,
    "locale": either("a locale or false", text=text, flag=choice(False)),
    "locale_configfile": absolute_path,
    "lxd": mapping,
    "manage_etc_hosts": either("true, false or localhost", flag=flag, text=choice("localhost", "template")),
    "manage_resolv_conf": flag,
    "mcollective": mapping,
    "merge_how": anything,
    "merge_type": anything,
    "migrate": flag,
    "mount_default_fields": _mount,
    "mounts": list_of(_mount),
    "no_ssh_fingerprints": flag,
    "ntp": either("a mapping", mapping=_NTP, none=nothing),
    "output": anything,
    "package_reboot_if_required": flag,
    "package_update": flag,
    "package_upgrade": flag,
    "packages": list_of(_package),
    "password": text,
    "phone_home": mapping,
    "power_state": _POWER_STATE,
    "prefer_fqdn_over_hostname": flag,
    "preserve_hostname": flag,
    "puppet": mapping,
    "random_seed": mapping,
    "reporting": mapping,
    "resize_rootfs": choice(True, False, "noblock"),
    "resolv_conf": _RESOLV_CONF,
    "rh_subscription": mapping,
    "rsyslog": mapping,
    "runcmd": _commands,
    "salt_minion": mapping,
    "snap": mapping,
    "spacewalk": mapping,
    "ssh": keys({"emit_keys_to_console": flag}),
    "ssh_authorized_keys": list_of(public_key),
    "ssh_deletekeys": flag,
    "ssh_fp_console_blacklist": list_of(text, empty=True),
    "ssh_genkeytypes": list_of(choice(*KEY_TYPES)),
    "ssh_import_id": _texts,
    "ssh_key_console_blacklist": list_of(text, empty=True),
    "ssh_keys": host_keys,
    "ssh_publish_hostkeys": mapping,
    "ssh_pwauth": _flag_or_text,
    "ssh_quiet_keygen": flag,
    "swap": mapping,
    "system_info": mapping,
    "timezone": text,
    "ubuntu_pro": mapping,
    "updates": mapping,
    "user": either("a login name or a mapping", text=text, mapping=mapping),
    "users": _users,
    "vendor_data": mapping,
    "wireguard": _mapping_or_nothing,
    "write_files": list_of(_WRITE_FILE),
    "yum_repo_dir": absolute_path,
    "yum_repos": mapping_of(mapping),
    "zypper": mapping,
}

check_user_data: Shape = keys(TOP)
