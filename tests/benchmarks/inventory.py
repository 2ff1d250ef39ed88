# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``ansible-inventory --graph`` on two sites of 1,000 defined VMs each: ours against ``community.libvirt.libvirt``.

Whole processes, medians, Ansible's own start-up (a static file of one host) taken off both. Each site's daemon is asked
directly and over a line with 20 ms of round trip. The peer reads one URI a source, so it has two sources. From the cache, ours
is held against a static file of the same hosts and groups without variables, the fastest inventory that there is.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import urllib.parse
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import libvirt
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.connection import open_connection

from .bench import Lab, Measured, Row, median, repeats, run_whole, tool
from .forwarder import forwarded

VMS = 1000
PREFIX = "bench-inv-"
ROUND_TRIP = 0.020
_PORTS = {"qemu+tls": 16514, "qemu+tcp": 16509}
_DOMAIN = """
<domain type='qemu'>
  <name>{name}</name><uuid>{uuid}</uuid><description>Defined for a benchmark, never started</description>
  <memory unit='KiB'>65536</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/{name}.qcow2'/><target dev='vda' bus='virtio'/>
    </disk>
    <interface type='network'><source network='public'/><model type='virtio'/></interface>
  </devices>
</domain>
"""


def run(lab: Lab) -> list[Row]:
    """Four rows: near, far, from the cache, memory."""
    uris = [_uri_with_pki(hypervisor.uri, lab.pki_path) for hypervisor in lab.hypervisors[:2]]
    with tempfile.TemporaryDirectory() as folder, _defined(uris):
        place = Path(folder)
        start = _start_up(place)
        near, near_peer = _compare(place, "near", uris, repeats())
        cached, static = _compare_cached(place, "near", uris)
        with forwarded(ROUND_TRIP, [_endpoint(uri) for uri in uris]) as ports:
            far_uris = [_moved(uri, port) for uri, port in zip(uris, ports, strict=True)]
            far, far_peer = _compare(place, "far", far_uris, repeats("BENCH_SLOW_REPEATS"))
    return [
        _speed_row("inventory of 2 x 1,000 VMs, near, s", near, near_peer, start, 2.5),
        _speed_row("inventory of 2 x 1,000 VMs, 20 ms of round trip, s", far, far_peer, start, 30.0),
        Row(
            "inventory from the cache over a static file, s",
            cached.seconds,
            static.seconds,
            cached.seconds / static.seconds,
            1.15,
            True,
        ),
        Row(
            "inventory: largest memory over the peer's, MiB",
            near.memory,
            near_peer.memory,
            near.memory / near_peer.memory,
            1.0,
            True,
        ),
    ]


def _speed_row(name: str, ours: Measured, peer: Measured, start: Measured, goal: float) -> Row:
    net, net_peer = ours.seconds - start.seconds, peer.seconds - start.seconds
    return Row(name, net, net_peer, net_peer / net, goal)


def _start_up(place: Path) -> Measured:
    static = place / "one.ini"
    static.write_text("one\n", encoding="utf-8")
    return median([_graph([static]) for _repeat in range(repeats())])


def _graph(sources: Sequence[Path], **environment: str) -> Measured:
    command = [tool("ansible-inventory"), "--graph"]
    for source in sources:
        command += ["--inventory", str(source)]
    return run_whole(command, {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true", **environment})


def _compare(place: Path, name: str, uris: Sequence[str], times: int) -> tuple[Measured, Measured]:
    """Medians of ours and of the peer, by turns so that a busy machine slows both."""
    ours_source = _write_ours(place, name, uris)
    peer_sources = _write_peer(place, name, uris)
    ours, peer = [], []
    for _repeat in range(times):
        ours.append(_graph([ours_source]))
        peer.append(_graph(peer_sources))
        print(f"    {name}: ours {ours[-1].seconds:.2f} s, peer {peer[-1].seconds:.2f} s", flush=True)
    return median(ours), median(peer)


def _compare_cached(place: Path, name: str, uris: Sequence[str]) -> tuple[Measured, Measured]:
    source = _write_ours(place, name, uris)
    cache = {
        "ANSIBLE_INVENTORY_CACHE": "true",
        "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(place / "cache"),
    }
    static = _write_static(place, uris)
    _graph([source], **cache)
    cached, plain = [], []
    # More often than the others: both are so short that a busy machine is most of the difference.
    for _repeat in range(3 * repeats()):
        cached.append(_graph([source], **cache))
        plain.append(_graph([static]))
    return median(cached), median(plain)


def _write_ours(place: Path, name: str, uris: Sequence[str]) -> Path:
    sites = [
        {"name": f"site{number}", "provider": "Bench", "country": "ES", "hypervisors": [{"name": f"kvm{number}", "uri": uri}]}
        for number, uri in enumerate(uris)
    ]
    document = {
        "plugin": "virt8ra.federation.sites",
        "federation": "bench",
        "strict_sites": True,
        "site_timeout": 120,
        "sites": sites,
    }
    path = place / f"{name}.sites.yml"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _write_peer(place: Path, name: str, uris: Sequence[str]) -> list[Path]:
    paths = []
    for number, uri in enumerate(uris):
        path = place / f"{name}{number}.libvirt.yml"
        path.write_text(json.dumps({"plugin": "community.libvirt.libvirt", "uri": uri}), encoding="utf-8")
        paths.append(path)
    return paths


def _write_static(place: Path, uris: Sequence[str]) -> Path:
    """The hosts and groups of our inventory as an INI file, without variables."""
    names = [[f"kvm{number}", *_vm_names(number)] for number in range(len(uris))]
    lines = ["[hypervisors]", *(hosts[0] for hosts in names), "[vms]", *(host for hosts in names for host in hosts[1:])]
    for number, hosts in enumerate(names):
        lines += [f"[site_site{number}]", *hosts]
    for parent in ("provider_Bench", "country_ES"):
        lines += [f"[{parent}:children]", *(f"site_site{number}" for number in range(len(uris)))]
    path = place / "static.ini"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _vm_names(site: int) -> list[str]:
    return [f"{PREFIX}{site}-{number:04}" for number in range(VMS)]


def _uri_with_pki(uri: str, pki_path: Path) -> str:
    """Both plugins get the same URI. A forwarder has no certificate of its own, so the name in it is not checked."""
    if not uri.startswith("qemu+tls"):
        return uri
    return f"{uri}?{urllib.parse.urlencode({'pkipath': str(pki_path), 'no_verify': '1'})}"


def _endpoint(uri: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(uri)
    return str(parts.hostname), parts.port or _PORTS[parts.scheme]


def _moved(uri: str, port: int) -> str:
    return urllib.parse.urlunsplit(urllib.parse.urlsplit(uri)._replace(netloc=f"127.0.0.1:{port}"))


@contextlib.contextmanager
def _defined(uris: Sequence[str]) -> Iterator[None]:
    """1,000 VMs that are never started, on each hypervisor, taken away at the end."""
    try:
        _at_each(uris, _define)
        yield
    finally:
        _at_each(uris, _undefine)


def _at_each(uris: Sequence[str], act: Any) -> None:
    failures: list[BaseException] = []

    def work(uri: str, site: int) -> None:
        try:
            act(open_connection(uri), site)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(uri, site)) for site, uri in enumerate(uris)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _define(conn: Any, site: int) -> None:
    for name in _vm_names(site):
        conn.defineXML(_DOMAIN.format(name=name, uuid=uuid.uuid5(uuid.NAMESPACE_DNS, name)))


def _undefine(conn: Any, _site: int) -> None:
    for domain in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE):
        if domain.name().startswith(PREFIX):
            domain.undefine()
