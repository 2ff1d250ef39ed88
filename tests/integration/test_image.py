# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image library on the lab: from a URL to one site, from there to the next, and thin clones that leave their image behind."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from .guest import SOURCE, TARGET, Guest, built_image
from .lab import ADDRESSES, Lab

NAME = "t-lib"
POOL = "/var/lib/libvirt/images"
STATE = "/var/lib/virt8ra/images/images"
SERVED = "/var/tmp/t-lib"
PORT = 18099
UNIT = "t-lib-http"
URL = f"http://127.0.0.1:{PORT}/t-lib.raw"
SITES = "{{ groups.hypervisors | map('extract', hostvars, 'federation_site') | unique }}"


class Server:
    """Serves the image at the first host, to that host alone, and knows who asked."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def start(self, content: str) -> None:
        self.lab.run(SOURCE, f"mkdir -p {SERVED}")
        self.lab.module(SOURCE, "ansible.builtin.copy", {"src": content, "dest": f"{SERVED}/t-lib.raw", "mode": "0644"})
        serve = f"python3 -u -m http.server --bind 127.0.0.1 --directory {SERVED} {PORT}"
        self.lab.run(SOURCE, f"systemd-run --quiet --collect --unit={UNIT} sh -c '{serve} 2>>{SERVED}/log'")
        answers = f"until exec 3<>/dev/tcp/127.0.0.1/{PORT}; do sleep 0.2; done"
        self.lab.run(SOURCE, f"timeout 60 bash -c '{answers}' 2>/dev/null")
        self.lab.run(SOURCE, f": >{SERVED}/log")

    def requests(self) -> int:
        return int(self.lab.run(SOURCE, f"grep -c '\"GET /t-lib.raw' {SERVED}/log || true"))

    def stop(self) -> None:
        self.lab.run(SOURCE, f"systemctl stop {UNIT} 2>/dev/null; rm -rf {SERVED}", check=False)


def remove_images(lab: Lab) -> None:
    for host in ADDRESSES:
        lab.run(
            host,
            f"rm -f {POOL}/{NAME}-* {POOL}/.{NAME}-* {STATE}/{NAME}-* {STATE}/.{NAME}-*; virsh pool-refresh images",
            check=False,
        )


@pytest.fixture
def server(lab: Lab):
    remove_images(lab)
    made = Server(lab)
    made.stop()
    made.start(built_image(lab))
    yield made
    made.stop()
    remove_images(lab)


@pytest.fixture
def digest(lab: Lab) -> str:
    return hashlib.sha256(Path(built_image(lab)).read_bytes()).hexdigest()


def bring(lab: Lab, host: str, digest: str, *, check: bool = False, diff: bool = False, **options):
    given = {
        "name": NAME,
        "version": "1",
        "sha256": digest,
        "format": "raw",
        "source": {"url": URL},
        "peers": SITES,
        "site": "{{ federation_site }}",
        "hypervisor": "{{ inventory_hostname }}",
        **options,
    }
    return lab.module(host, "virt8ra.federation.image", given, check=check, diff=diff)


def absent(lab: Lab, host: str, **options):
    given = {"name": NAME, "state": "absent", "site": "{{ federation_site }}", "hypervisor": "{{ inventory_hostname }}", **options}
    return lab.module(host, "virt8ra.federation.image", given)


def listed(lab: Lab, host: str):
    told = lab.module(host, "virt8ra.federation.image_info", {"name": NAME, "site": "{{ federation_site }}"})
    assert not told.get("failed"), told.get("msg")
    return told["images"]


def files(lab: Lab, host: str) -> list[str]:
    return lab.run(host, f"ls -A {POOL} {STATE} | grep {NAME} || true").split()


def test_the_second_site_has_it_from_the_first(lab, server, digest):
    assert bring(lab, SOURCE, digest, check=True)["changed"] and files(lab, SOURCE) == []
    first = bring(lab, SOURCE, digest, diff=True)
    assert (first.get("msg"), first["changed"], first["fetched_from"]) == (None, True, URL)
    assert first["diff"]["before"] == "" and f"{NAME}:1" in first["diff"]["after"]
    again = bring(lab, SOURCE, digest)
    assert (again["changed"], again["fetched_from"], again["image"]) == (False, "", first["image"])
    assert server.requests() == 1
    server.stop()
    second = bring(lab, TARGET, digest)
    assert (second.get("msg"), second["changed"], second["fetched_from"]) == (None, True, SOURCE)
    assert lab.run(TARGET, f"sha256sum {POOL}/{NAME}-1.raw").split()[0] == digest
    assert f"{NAME}-1.raw" in lab.run(TARGET, "virsh vol-list images")
    assert not bring(lab, TARGET, digest, verify=True)["changed"]
    (told,) = listed(lab, TARGET)
    assert (told["sha256"], told["origin"], told["intact"], told["used_by"]) == (digest, SOURCE, True, [])


def test_two_at_once_download_once(lab, server, digest):
    results = []
    threads = [threading.Thread(target=lambda: results.append(bring(lab, SOURCE, digest))) for _run in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.get("msg") for result in results] == [None, None]
    assert sorted(result["changed"] for result in results) == [False, True]
    assert server.requests() == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sha256": "0" * 64}, "has the digest"),
        ({"size": "1MiB"}, "and not 1048576"),
        ({"format": "qcow2"}, "is raw and not qcow2"),
        ({"source": {"url": f"{URL}x"}}, "answers 404 File not found"),
        ({"source": {"file": "/nonexistent/x"}}, "source.file='/nonexistent/x': is no file on the controller"),
        ({"source": {"site": "nowhere"}}, f"{TARGET} has no volume {NAME}-1.raw in pool images"),
    ],
)
def test_what_is_wrong_is_told_and_leaves_nothing(lab, server, digest, change, sentence):
    told = bring(lab, SOURCE, digest, **change)
    assert told["failed"] and sentence in told["msg"]
    assert files(lab, SOURCE) == []


@pytest.mark.usefixtures("server")
def test_the_playbook_brings_a_file_of_the_controller_to_all_and_keeps_two(lab, digest):
    image = {"name": NAME, "sha256": digest, "format": "raw", "source": {"file": built_image(lab)}}
    available = [{**image, "version": version} for version in ("12.10", "12.9", "3")]
    references = ",".join(f"{NAME}:{one['version']}" for one in available)
    extra = {"image_library_available": available, "image_library_images": references}
    told = lab.playbook("playbooks/images.yml", extra=extra)
    assert told["rc"] == 0, told
    assert [one["version"] for one in listed(lab, TARGET)] == ["12.10", "12.9", "3"]
    for host in ADDRESSES:
        gave = {one["origin"] for one in listed(lab, host)}
        assert gave.isdisjoint(ADDRESSES) if host == SOURCE else gave <= set(ADDRESSES), "the controller gave it once"
    again = lab.playbook("playbooks/images.yml", extra=extra)
    assert {stats["changed"] for stats in again["stats"].values()} == {0}
    kept = lab.playbook("playbooks/images.yml", extra={**extra, "image_library_images": NAME, "image_library_keep": 2})
    assert kept["rc"] == 0, kept
    for host in ADDRESSES:
        assert [one["version"] for one in listed(lab, host)] == ["12.10", "12.9"]


@pytest.fixture
def thin_guest(lab, request):
    guest = Guest(lab, f"{NAME}-{request.param}")
    guest.remove()
    yield guest
    guest.remove()


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("thin_guest", "mode"), [("live", "live"), pytest.param("warm", "warm", marks=pytest.mark.slow)], indirect=["thin_guest"]
)
def test_a_thin_clone_moves_and_its_image_stays_behind(lab, thin_guest, digest, mode):
    guest = thin_guest
    assert not bring(lab, SOURCE, digest).get("failed")
    disk = {"name": "vda", "size": "64MiB", "storage": "ssd", "image": f"{NAME}:1", "clone": "thin"}
    guest.deploy(SOURCE, disks=[disk])
    assert f"{POOL}/{NAME}-1.raw" in lab.run(SOURCE, f"qemu-img info -U {guest.volume}")
    (told,) = listed(lab, SOURCE)
    assert told["used_by"] == [f"VM {guest.name}"]

    planned = guest.migrate(mode=mode, state="planned")
    assert not planned.get("failed"), planned.get("msg")
    assert planned["plan"]["blockers"] == []
    assert planned["plan"]["estimate"]["disk_bytes"] > 2**20, "what the image holds is counted"
    moved = guest.migrate(mode=mode, state="completed")
    assert not moved.get("failed"), moved.get("msg")
    guest.wait_for_writes(TARGET, 5)
    assert "backing file" not in lab.run(TARGET, f"qemu-img info -U {guest.volume}")
    assert f"{NAME}-1.raw" not in lab.run(TARGET, f"virsh dumpxml {guest.name}; virsh dumpxml --inactive {guest.name}")
    assert guest.verdict(TARGET)["lost"] == 0

    refused = absent(lab, SOURCE, version="1")
    assert refused["failed"] and f"VM {guest.name} back on it" in refused["msg"], "the source copy is kept until the release"
    released = guest.migrate(mode=mode, state="released")
    assert not released.get("failed"), released.get("msg")
    gone = absent(lab, SOURCE, version="1")
    assert gone.get("changed"), gone.get("msg")
    assert files(lab, SOURCE) == []
    lab.run(TARGET, f"virsh destroy {guest.name}")
    lab.run(TARGET, f"virsh start {guest.name}")
    guest.wait_for_writes(TARGET, 5)
    same = lab.module(
        TARGET,
        "virt8ra.federation.vm",
        {"name": guest.name, "disks": [disk], "site": "{{ federation_site }}", "hypervisor": "{{ inventory_hostname }}"},
    )
    assert (same.get("msg"), same["changed"]) == (None, False)
