# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evidence of a host, from files and from what its commands wrote on Debian 12."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.host.reading import Host
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import metadata
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence import erasures, outside, packages, pools
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.kernel import kernel_facts
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.evidence.logs import log_facts, rsyslog_targets
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, NotFoundError

CPU = "/sys/devices/system/cpu/vulnerabilities"
ACTIVE = "systemctl is-active "


class Recorded(Host):
    """A host with these files, and with what these commands wrote; an exception is raised."""

    def __init__(self, files=None, commands=None):
        super().__init__()
        self.files, self.commands = files or {}, commands or {}

    def read(self, path):
        if path not in self.files:
            raise NotFoundError(f"there is no {path}")
        return self.files[path]

    def names(self, folder):
        found = sorted(path[len(folder) + 1 :] for path in self.files if path.startswith(f"{folder}/"))
        if not found:
            raise NotFoundError(f"there is no {folder}")
        return found

    def changed(self, path):
        return 1764072000.0

    def run(self, *command, accepts=(0,)):
        line = " ".join(command)
        if line.startswith(ACTIVE):
            return self.commands.get(line, "inactive") + "\n"
        for begin, text in self.commands.items():
            if line.startswith(begin):
                return text
        raise NotFoundError(f"there is no command {command[0]}")


def test_mitigations():
    states = {
        "mds": "Not affected\n",
        "spectre_v2": "Mitigation: Retpolines; STIBP: disabled\n",
        "retbleed": "Vulnerable\n",
        "itlb_multihit": "KVM: Vulnerable\n",
        "srbds": "Unknown: Dependent on hypervisor status\n",
    }
    data = kernel_facts(Recorded({f"{CPU}/{name}": text for name, text in states.items()}))["mitigations"]["data"]
    assert [one["name"] for one in data if one["vulnerable"]] == ["itlb_multihit", "retbleed", "srbds"]


def test_no_sysfs_is_an_error_and_no_data():
    facts = kernel_facts(Recorded())
    assert {area: set(fact) for area, fact in facts.items()} == {"mitigations": {"how", "error"}, "hardware": {"how", "error"}}


def test_hardware_names_what_is_missing():
    data = kernel_facts(Recorded({"/sys/class/dmi/id/sys_vendor": "Dell Inc.\n"}))["hardware"]["data"]
    assert data["sys_vendor"] == "Dell Inc."
    assert "bios_version" in data["missing"]


@pytest.mark.parametrize(("conf", "level"), [({}, 1), ({"/etc/libvirt/virtqemud.conf": "#audit_level = 1\naudit_level = 2\n"}, 2)])
def test_audit_of_the_daemon_that_runs(conf, level):
    host = Recorded(conf, {f"{ACTIVE}virtqemud.socket": "active", f"{ACTIVE}auditd.service": "active"})
    assert log_facts(host)["audit"]["data"] == {"daemon": "virtqemud", "level": level, "auditd": True}


def test_journal_upload_as_systemd_puts_it_together():
    text = "# /etc/systemd/journal-upload.conf\n[Upload]\nURL=http://old\n# drop-in\nURL=https://logs.example.eu:1234/\n"
    host = Recorded({}, {f"{ACTIVE}systemd-journal-upload.service": "active", "systemd-analyze cat-config": text})
    (target,) = log_facts(host)["log_forwarding"]["data"]["targets"]
    assert target == {"service": "journal-upload", "host": "logs.example.eu", "port": 1234, "tls": True}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*.* @@(o)192.0.2.1:6514", [("192.0.2.1", 6514, False)]),
        (
            "$ActionSendStreamDriverMode 1\n*.* @@logs:6514\nauth.* @[2001:db8::1]",
            [("logs", 6514, True), ("2001:db8::1", 514, False)],
        ),
        ('action(type="omfwd" target="a" port="6514" protocol="tcp"\n StreamDriverMode="1")', [("a", 6514, True)]),
        ('*.* action(type="omrelp" target="b" port="20514" tls="on")', [("b", 20514, True)]),
        ("# *.* @@off:514\n*.* /var/log/syslog\nmail.* -/var/log/mail@x.log", []),
    ],
)
def test_rsyslog_in_both_languages(text, expected):
    assert [(one["host"], one["port"], one["tls"]) for one in rsyslog_targets(text)] == expected


def pool(xml, mount):
    return pools.pool_facts(Recorded({}, {"findmnt": json.dumps({"filesystems": [mount]})}), [ET.fromstring(xml)])["pools"]


DIR = "<pool type='dir'><name>vms</name><target><path>/vms</path></target></pool>"


@pytest.mark.parametrize(
    ("source", "kind", "endpoints"),
    [
        ("/dev/sda1", "ext4", []),
        ("nas.example.eu:/vms", "nfs4", ["nas.example.eu"]),
        ("[2001:db8::1]:/vms", "nfs4", ["2001:db8::1"]),
        ("//files/vms", "cifs", ["files"]),
        ("192.0.2.1:6789,192.0.2.2:6789:/", "ceph", ["192.0.2.1", "192.0.2.2"]),
    ],
)
def test_a_pool_in_a_folder_is_where_its_file_system_is(source, kind, endpoints):
    assert pool(DIR, {"source": source, "fstype": kind})["data"][0]["endpoints"] == endpoints


def test_a_pool_that_nobody_can_place():
    assert "cannot be told" in pool(DIR, {"source": "s3fs", "fstype": "fuse.s3fs"})["error"]
    assert "names no host" in pool("<pool type='rbd'><name>r</name><source/></pool>", {})["error"]


def test_a_pool_names_its_hosts():
    (one,) = pool("<pool type='rbd'><name>r</name><source><host name='mon1' port='6789'/></source></pool>", {})["data"]
    assert one["endpoints"] == ["mon1"]


JOURNAL = {
    **{"version": 1, "id": "m1", "mode": "live", "source": "kvm1", "target": "kvm2", "phase": "released", "epoch": 2},
    **{"started": "2026-11-24T10:00:00+00:00", "disks": {"vda": {"source_path": "/v/a"}, "vdb": {"source_path": "/v/b"}}},
}


def erased(files, journal=None):
    space = metadata.namespace("migration")
    xml = f"<domain><uuid>u</uuid><metadata><m:migration xmlns:m='{space}'>{json.dumps(journal or JOURNAL)}</m:migration></metadata></domain>"
    return erasures.erasure_facts(Recorded(files), ET.fromstring(xml), "/state")["receipts"]


def test_every_disk_needs_a_receipt():
    kept = {"/state/receipts/u.m1.json": json.dumps({"volumes": ["/v/a"], "erased": "2026-11-24T11:00:00+00:00"})}
    assert erased(kept)["data"]["missing"] == ["/v/b"]
    assert erased({})["data"]["missing"] == ["/v/a", "/v/b"]


def test_what_cannot_be_read_proves_nothing():
    assert "is no JSON" in erased({"/state/receipts/u.m1.json": "{"})["error"]
    assert "not known here" in erased({}, {**JOURNAL, "version": 99})["error"]


def test_fixes_that_wait():
    text = """Listing...
base-files/oldstable 12.4+deb12u15 amd64 [upgradable from: 12.4+deb12u11]
apt-transport-https/oldstable-security,oldstable 2.6.2 all [upgradable from: 2.6.1]
bash/oldstable,now 5.2.15-2+b8 amd64 [installed]
"""
    assert [(one["name"], one["available"], one["security"]) for one in packages.waiting(text)] == [
        ("apt-transport-https", "2.6.2", True),
        ("base-files", "12.4+deb12u15", False),
    ]


def test_without_lists_nothing_is_known_of_fixes():
    assert "error" in packages.package_facts(Recorded({"/var/lib/apt/lists/lock": ""}), "/sbom")["packages"]


def test_a_source_without_a_signature():
    line = "http://deb.debian.org/debian|bookworm|main|{}|/var/lib/apt/lists/deb.debian.org_debian_dists_bookworm_main_binary-amd64_Packages"
    lists = {"/var/lib/apt/lists/deb.debian.org_debian_dists_bookworm_InRelease": ""}
    for files, trusted, signed in ((lists, "yes", True), (lists, "no", False), ({"/var/lib/apt/lists/lock": ""}, "yes", False)):
        host = Recorded(files, {"apt-get indextargets": line.format(trusted) + "\n"})
        (one,) = packages.package_facts(host, "/sbom")["repositories"]["data"]
        assert (one["suite"], one["components"], one["signed"]) == ("bookworm", ["main"], signed)


def test_a_source_that_apt_has_not_fetched_counts_too():
    known = "http://deb.debian.org/debian|bookworm|main|{}|/var/lib/apt/lists/deb.debian.org_debian_dists_bookworm_main_binary-amd64_Packages\n"
    new = "http://mirror.example.com/debian|bookworm|main|{}|/var/lib/apt/lists/mirror.example.com_debian_dists_bookworm_main_binary-amd64_Packages\n"
    host = Recorded(
        {"/var/lib/apt/lists/deb.debian.org_debian_dists_bookworm_InRelease": ""},
        {
            "apt-get indextargets --no-release-info": known.format("$(TRUSTED)") + new.format("$(TRUSTED)"),
            "apt-get indextargets --format": known.format("yes"),
        },
    )
    found = packages.package_facts(host, "/sbom")["repositories"]["data"]
    assert [(one["uri"], one["signed"]) for one in found] == [
        ("http://deb.debian.org/debian", True),
        ("http://mirror.example.com/debian", False),
    ]


def test_licences_of_fields_and_of_free_text():
    assert packages.licences("Format: x\nLicense: GPL-2+ and Expat\nLicense:\n text\n") == ["Expat", "GPL-2+"]
    assert packages.licences("See /usr/share/common-licenses/GPL-2. And /usr/share/common-licenses/LGPL-2.1.") == [
        "GPL-2",
        "LGPL-2.1",
    ]


def test_a_bill_of_materials_and_what_it_lacks():
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "metadata": {"timestamp": "2026-11-01T00:00:00Z"},
        "components": [{"name": "apt"}],
    }
    host = Recorded({"/sbom": json.dumps(bill)}, {"dpkg-query": "ii |apt\nii |bash\nrc |gone\n"})
    data = packages.package_facts(host, "/sbom")["sbom"]["data"]
    assert (data["missing"], data["written"], data["components"]) == (["bash"], "2026-11-01T00:00:00Z", 1)
    assert "is no CycloneDX" in packages.package_facts(Recorded({"/sbom": "[]"}), "/sbom")["sbom"]["error"]


def test_logins():
    text = """ops      tty1         0.0.0.0          2026-11-21T10:00:00+00:00   gone - no logout
reboot   system boot  0.0.0.0          2026-11-20T09:00:00+00:00   still running
root     pts/0        192.0.2.7        2026-11-20T10:00:00+00:00 - crash                      (-1:00)
root     pts/0        192.0.2.7        2026-11-19T10:00:00+00:00 - 2026-11-19T11:00:00+00:00  (01:00)

wtmp begins 2026-11-20T10:00:00+00:00
"""
    assert outside.logins(text) == [
        {"user": "ops", "address": "", "last": "2026-11-21T10:00:00+00:00"},
        {"user": "root", "address": "192.0.2.7", "last": "2026-11-20T10:00:00+00:00"},
    ]


def test_peers_without_the_host_itself():
    text = """0 0 192.0.2.1:34430 192.0.2.11:22
0 0 127.0.0.1:5000 127.0.0.1:40000
0 0 [::1]:5000 [::ffff:127.0.0.1]:40000
0 0 [fe80::1%eth0]:22 [fe80::2]:50000
"""
    assert outside.peers(text) == [
        {"address": "192.0.2.11", "port": 22, "local_port": 34430},
        {"address": "fe80::2", "port": 50000, "local_port": 22},
    ]
    with pytest.raises(BackendError, match="is no address"):
        outside.peers("0 0 here there\n")


def test_servers_of_names_behind_the_stub_and_of_time():
    files = {
        "/etc/resolv.conf": "nameserver 127.0.0.53\n",
        "/run/systemd/resolve/resolv.conf": "# x\nnameserver 192.0.2.53\n",
        "/etc/chrony/chrony.conf": "pool 2.debian.pool.ntp.org iburst\n#server off\n",
        "/etc/chrony/sources.d/own.sources": "server ntp.example.eu\n",
    }
    data = outside.outside_facts(Recorded(files, {f"{ACTIVE}chrony.service": "active"}))["services"]["data"]
    assert data == {"dns": ["192.0.2.53"], "ntp": ["2.debian.pool.ntp.org", "ntp.example.eu"]}
    assert "neither chrony" in outside.outside_facts(Recorded(files))["services"]["error"]


def test_a_real_host_tells_what_it_lacks(tmp_path):
    host = Host(timeout=5)
    with pytest.raises(NotFoundError, match="there is no command"):
        host.run("no-such-command-here")
    with pytest.raises(BackendError, match=r"ls .* failed"):
        host.run("ls", str(tmp_path / "none"))
    (tmp_path / "one").write_text("two", encoding="utf-8")
    assert (host.names(str(tmp_path)), host.read(str(tmp_path / "one"))) == (["one"], "two")
