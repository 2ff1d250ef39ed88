# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images come whole or not at all, from the nearest that has them, once however many ask, and go when nobody backs on them."""

from __future__ import annotations

import hashlib
import http.server
import threading
from functools import partial

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt.image_pool import ImagePool
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import BackendError, FederationError, InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.images import Image
from ansible_collections.virt8ra.federation.plugins.module_utils.library import library as library_module
from ansible_collections.virt8ra.federation.plugins.module_utils.library.library import Library
from ansible_collections.virt8ra.federation.plugins.module_utils.library.nearest import Peer
from fake_libvirt import Connection, Domain, Pool, disk
from qcow2_heads import qcow2_head

CONTENT = qcow2_head() + b"data" * 10000 + bytes(3 * 2**20) + b"end" + bytes(5000)
VOLUME = "debian-12.8.qcow2"


def image(content=CONTENT, **changes):
    given = {"name": "debian", "version": "12.8", "sha256": hashlib.sha256(content).hexdigest(), "source": {"site": "rioja"}}
    return Image.from_dict({**given, **changes})


class Site:
    """A hypervisor with a pool, and a library in it."""

    def __init__(self, folder, connect=None, report=None):
        self.folder = folder / "pool"
        self.folder.mkdir(parents=True)
        self.pool = Pool("images", self.folder)
        self.conn = Connection(self.pool)
        self.told = []
        pool = ImagePool(self.conn, "images", "images")
        self.library = Library(pool, str(folder / "state"), connect or self.nobody, report or self.report)

    def report(self, phase, figures):
        self.told.append((phase, figures))

    @staticmethod
    def nobody(uri):
        raise BackendError(f"nobody is at {uri}")

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def here(tmp_path):
    return Site(tmp_path / "here")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append(self.path)
        server.started.set()
        server.go.wait(30)
        status, body, length = server.answers[self.path]
        self.send_response(status)
        if status == 302:
            self.send_header("Location", body)
            body = b""
        elif length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        pass


@pytest.fixture
def web():
    """An HTTP server whose answers are ``(status, body, told length)`` by path; it answers while ``go`` is set."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.requests = {}, []
    server.go, server.started = threading.Event(), threading.Event()
    server.go.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    # Those who are cut off say so on the terminal otherwise.
    server.handle_error = lambda *_arguments: None
    server.url = lambda path: f"http://127.0.0.1:{server.server_port}{path}"
    yield server
    server.go.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_image_comes_from_a_url_and_is_there_the_next_time(here, web):
    web.answers["/d"] = (200, CONTENT, len(CONTENT))
    wanted = image(source={"url": web.url("/d")}, size=len(CONTENT))
    brought = here.library.bring(wanted)
    assert (brought.changed, brought.fetched_from) == (True, web.url("/d"))
    path = here.folder / VOLUME
    assert path.read_bytes() == CONTENT
    assert path.stat().st_blocks * 512 < len(CONTENT), "zeros are holes"
    assert path.stat().st_mode & 0o777 == 0o644
    assert (brought.record.virtual_size, brought.record.origin) == (3 * 2**20, web.url("/d"))
    again = here.library.bring(wanted)
    assert (again.changed, again.fetched_from, again.record) == (False, "", brought.record)
    assert web.requests == ["/d"]
    assert here.names() == [VOLUME]


def test_redirects_are_followed_but_not_out_of_http(here, web, tmp_path):
    (tmp_path / "secret").write_bytes(CONTENT)
    web.answers.update(
        {"/a": (302, web.url("/d"), None), "/d": (200, CONTENT, None), "/f": (302, f"file://{tmp_path}/secret", None)}
    )
    with pytest.raises(BackendError, match="cannot be had"):
        here.library.bring(image(source={"url": web.url("/f")}))
    assert here.library.bring(image(source={"url": web.url("/a")})).changed


def test_a_file_url_is_of_this_host(here, tmp_path):
    (tmp_path / "a b").write_bytes(CONTENT)
    assert here.library.bring(image(source={"url": f"file://{tmp_path}/a%20b"})).changed
    assert here.names() == [VOLUME]


@pytest.mark.parametrize(
    ("answer", "size", "sentence"),
    [
        ((200, CONTENT[:-1], len(CONTENT)), 0, f"ended after {len(CONTENT) - 1} of {len(CONTENT)} bytes"),
        ((200, CONTENT[:-1], None), len(CONTENT), f"ended after {len(CONTENT) - 1} of {len(CONTENT)} bytes"),
        ((200, b"", 0), len(CONTENT), f"ended after 0 of {len(CONTENT)} bytes"),
        ((200, CONTENT[:-1] + b"x", None), 0, "has the digest "),
        ((200, CONTENT + b"x", None), len(CONTENT), f"sends more than the {len(CONTENT)} bytes that were promised"),
        ((200, CONTENT + b"x", len(CONTENT) + 1), len(CONTENT), f"offers {len(CONTENT) + 1} bytes and not {len(CONTENT)}"),
        ((404, b"", 0), 0, "answers 404 Not Found"),
    ],
)
def test_a_wrong_download_is_told_and_leaves_nothing(here, web, answer, size, sentence):
    web.answers["/d"] = answer
    with pytest.raises(BackendError) as caught:
        here.library.bring(image(source={"url": web.url("/d")}, size=size))
    assert f"the image debian:12.8 cannot be had: {web.url('/d')} {sentence}" in str(caught.value)
    assert here.names() == [] and here.library.records.all() == []
    assert list(here.library.records.folder.iterdir()) == []


@pytest.mark.parametrize(("length", "size"), [(len(CONTENT), 0), (None, len(CONTENT)), (None, 0)])
def test_an_image_larger_than_the_pool_is_refused(here, web, monkeypatch, length, size):
    web.answers["/d"] = (200, CONTENT, length)
    monkeypatch.setattr(here.library.pool, "free", lambda: len(CONTENT) - 1)
    with pytest.raises(BackendError, match=r"the image debian:12\.8 .* the pool has .*free; free some space there"):
        here.library.bring(image(source={"url": web.url("/d")}, size=size))
    assert here.names() == []


def test_an_image_that_names_another_file_is_refused(here, web):
    content = qcow2_head(backing=b"/etc/shadow")
    web.answers["/d"] = (200, content, None)
    with pytest.raises(BackendError, match=r"the image debian:12\.8 names the backing file /etc/shadow; flatten it"):
        here.library.bring(image(content, source={"url": web.url("/d")}))
    assert here.names() == [] and here.library.records.all() == []


def test_nobody_answers_is_a_sentence(here, web):
    port = web.server_port
    with pytest.raises(BackendError, match=r"http://127\.0\.0\.1:\d+/d (broke off|cannot be reached)"):
        web.server_close()
        here.library.bring(image(source={"url": f"http://127.0.0.1:{port}/d"}))


def test_check_mode_only_looks(here, web):
    web.answers["/d"] = (200, CONTENT, None)
    assert here.library.bring(image(source={"url": web.url("/d")}), check=True).changed
    assert web.requests == [] and here.names() == []


def test_two_at_once_download_once(tmp_path, web):
    web.answers["/d"] = (200, CONTENT, None)
    web.go.clear()
    waiting = threading.Event()

    def report(_phase, figures):
        if figures.get("waiting_for"):
            waiting.set()
            web.go.set()

    one = Site(tmp_path / "one", report=report)
    wanted, results = image(source={"url": web.url("/d")}), []
    threads = [threading.Thread(target=lambda: results.append(one.library.bring(wanted))) for _run in range(2)]
    threads[0].start()
    assert web.started.wait(30)
    threads[1].start()
    for thread in threads:
        thread.join(60)
    assert waiting.is_set(), "the second waited for the first"
    assert sorted(result.changed for result in results) == [False, True]
    assert web.requests == ["/d"]


# Peers


@pytest.fixture
def peers(tmp_path, monkeypatch):
    """Three hypervisors, near to far; those that answer are in ``trips``. Connections by URI are in ``calls``."""
    sites = {f"qemu+tls://{name}/system": Site(tmp_path / name) for name in ("near", "middle", "far")}
    world = type("World", (), {})()
    world.sites = {uri.split("/")[2]: site for uri, site in sites.items()}
    world.trips = {"near": 1.0, "middle": 5.0, "far": 9.0}
    world.calls = []
    world.peers = [Peer(name, f"qemu+tls://{name}/system", "images") for name in ("far", "near", "middle")]

    def connect(uri):
        world.calls.append(uri.split("/")[2])
        return sites[uri].conn

    world.here = Site(tmp_path / "here", connect)
    monkeypatch.setattr(library_module, "round_trips", lambda asked: {peer.name: world.trips.get(peer.name) for peer in asked})
    return world


def has(site, content=CONTENT):
    (site.folder / VOLUME).write_bytes(content)


def test_the_nearest_that_has_it_gives_it(peers):
    has(peers.sites["middle"])
    has(peers.sites["far"])
    brought = peers.here.library.bring(image(), peers.peers)
    assert (brought.fetched_from, peers.calls) == ("middle", ["near", "middle"])
    assert (peers.here.folder / VOLUME).read_bytes() == CONTENT
    conn = peers.sites["middle"].conn
    assert conn.holes > 100 and conn.sent < len(CONTENT), "holes do not travel"
    assert conn.ended == ["finished"] and conn.closed


@pytest.mark.parametrize("fault", ["digest", "stream", "silent", "empty"])
def test_the_next_one_is_asked_when_a_peer_fails(peers, fault):
    near = peers.sites["near"]
    has(peers.sites["far"])
    if fault == "digest":
        has(near, CONTENT[:-1] + b"x")
    elif fault == "stream":
        has(near)
        near.conn.breaks_at = 8192
    elif fault == "silent":
        peers.trips["near"] = None
    else:
        del near.conn.pools["images"]
    assert peers.here.library.bring(image(), peers.peers).fetched_from == "far"
    assert peers.here.names() == [VOLUME]
    if fault == "stream":
        assert near.conn.ended == ["aborted"]


def test_a_peer_that_sends_without_end_is_cut_off(peers):
    has(peers.sites["near"], CONTENT + bytes(2**20))
    with pytest.raises(BackendError, match="near sends more than"):
        peers.here.library.bring(image(size=len(CONTENT)), peers.peers[1:2])
    assert peers.sites["near"].conn.ended == ["aborted"]
    assert peers.here.names() == []


def test_all_that_failed_is_told(peers, web):
    peers.trips["far"] = None
    web.answers["/d"] = (404, b"", 0)
    with pytest.raises(BackendError) as caught:
        peers.here.library.bring(image(source={"url": web.url("/d")}), peers.peers)
    told = str(caught.value)
    assert "far does not answer" in told and "near has no volume debian-12.8.qcow2 in pool images" in told
    assert told.index("near has") < told.index("middle has") < told.index("answers 404")


def test_the_url_comes_after_the_peers(peers, web):
    web.answers["/d"] = (200, CONTENT, None)
    assert peers.here.library.bring(image(source={"url": web.url("/d")}), peers.peers).fetched_from == web.url("/d")
    assert peers.calls == ["near", "middle", "far"]


def test_a_file_of_the_controller_is_asked_for_and_then_taken(peers, tmp_path):
    wanted = image(source={"file": "/srv/debian.qcow2"})
    first = peers.here.library.bring(wanted, peers.peers)
    assert first.push == "/srv/debian.qcow2" and peers.here.names() == []
    (tmp_path / "pushed").write_bytes(CONTENT)
    second = peers.here.library.bring(wanted, peers.peers, pushed=str(tmp_path / "pushed"))
    assert (second.fetched_from, peers.here.names()) == ("/srv/debian.qcow2 on the controller", [VOLUME])


# What is there already


def test_a_volume_with_the_right_digest_is_taken_into_the_library(here):
    has(here)
    assert here.library.bring(image(), check=True).changed
    assert here.library.records.all() == []
    assert here.library.bring(image()).changed
    assert not here.library.bring(image()).changed
    assert here.library.records.all()[0].origin == "found in pool images"


def test_a_volume_of_somebody_else_is_not_touched(here):
    has(here, b"mine")
    with pytest.raises(InputError, match=r"the pool images has a volume debian-12\.8\.qcow2 already, with the digest") as caught:
        here.library.bring(image())
    assert caught.value.option == "name"
    assert (here.folder / VOLUME).read_bytes() == b"mine"


def test_an_image_of_one_version_stays_as_it_is(here):
    has(here)
    here.library.bring(image())
    with pytest.raises(InputError, match="give what changed a new version") as caught:
        here.library.bring(image(b"other"))
    assert caught.value.option == "sha256"


def flip(path):
    content = bytearray(path.read_bytes())
    content[70000] ^= 1
    path.write_bytes(content)


def test_a_damaged_image_is_fetched_anew(peers):
    has(peers.sites["near"])
    peers.here.library.bring(image(), peers.peers)
    flip(peers.here.folder / VOLUME)
    brought = peers.here.library.bring(image(), peers.peers)
    assert (brought.state, brought.fetched_from) == ("damaged", "near")
    assert (peers.here.folder / VOLUME).read_bytes() == CONTENT


def test_a_damaged_image_on_which_a_vm_backs_is_told(peers):
    has(peers.sites["near"])
    peers.here.library.bring(image(), peers.peers)
    path = peers.here.folder / VOLUME
    (peers.here.folder / "web-vda.qcow2").write_bytes(qcow2_head(backing=str(path).encode()))
    peers.here.conn.domains.append(Domain("web", [disk(peers.here.folder / "web-vda.qcow2")]))
    flip(path)
    with pytest.raises(BackendError, match=r"is damaged .* and VM web back on it"):
        peers.here.library.bring(image(), peers.peers)


def test_verify_reads_again_what_looks_unchanged(here, monkeypatch):
    has(here)
    here.library.bring(image())
    read = []
    monkeypatch.setattr(library_module, "digest_of", lambda path, meter: read.append(path) or image().sha256)
    assert not here.library.bring(image()).changed
    assert read == []
    assert not here.library.bring(image(), verify=True).changed
    assert read == [here.folder / VOLUME]


def test_what_a_killed_run_left_goes(here, web):
    web.answers["/d"] = (200, CONTENT, None)
    (here.folder / f".{VOLUME}.{library_module.os.uname().nodename}.partial").write_bytes(b"half")
    here.library.bring(image(source={"url": web.url("/d")}))
    assert here.names() == [VOLUME]


# Removal


@pytest.fixture
def stocked(here):
    """A library with four versions."""
    for version in ("9", "10", "11", "12.8"):
        (here.folder / f"debian-{version}.qcow2").write_bytes(CONTENT)
        here.library.bring(image(version=version))
    return here


def thin(site, name, version, active=False, hidden=False):
    """A VM with a disk that backs on a version; ``hidden``: its disk is in no pool."""
    folder = site.folder.parent if hidden else site.folder
    top = folder / f"{name}-vda.qcow2"
    top.write_bytes(qcow2_head(backing=str(site.folder / f"debian-{version}.qcow2").encode()))
    site.conn.domains.append(Domain(name, [disk(top)], [disk(top)], active))
    return top


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("hidden", [True, False])
def test_old_versions_go_but_those_on_which_a_vm_backs(stocked, active, hidden):
    thin(stocked, "web", "9", active, hidden)
    expected = (["10"], {"9": ["VM web"]})
    assert stocked.library.prune("debian", 2, check=True) == expected
    assert stocked.library.prune("debian", 2) == expected
    assert [record.version for record in stocked.library.records.all()] == ["12.8", "11", "9"]
    assert "debian-10.qcow2" not in stocked.names()
    assert stocked.library.prune("debian", 2) == ([], {"9": ["VM web"]})


def test_the_version_that_was_asked_for_stays(stocked):
    assert stocked.library.prune("debian", 1, brought="9") == (["11", "10"], {})


def test_an_image_in_use_is_not_removed(stocked):
    thin(stocked, "web", "11")
    with pytest.raises(BackendError, match=r"the image debian:11 is in use: VM web back on it; remove or move those first"):
        stocked.library.remove("debian", "11")
    assert stocked.library.remove("debian", "10", check=True) and "debian-10.qcow2" in stocked.names()
    assert stocked.library.remove("debian", "10")
    assert not stocked.library.remove("debian", "10")


@pytest.mark.parametrize(
    "how", ["as a disk", "running with it only", "as a pool's volume", "by a volume's chain", "by libvirt's word"]
)
def test_every_way_to_read_an_image_is_seen(stocked, how):
    path = stocked.folder / "debian-11.qcow2"
    if how == "as a disk":
        stocked.conn.domains.append(Domain("web", [disk(path)]))
    elif how == "running with it only":
        stocked.conn.domains.append(Domain("web", [], [disk(path)], active=True))
    elif how == "as a pool's volume":
        stocked.conn.domains.append(Domain("web", [f"<disk><source pool='images' volume='{path.name}'/></disk>"]))
    elif how == "by a volume's chain":
        (stocked.folder / "middle").write_bytes(qcow2_head(backing=b"debian-11.qcow2"))
        (stocked.folder / "top").write_bytes(qcow2_head(backing=b"middle"))
        stocked.conn.domains.append(Domain("web", [disk(stocked.folder / "top")]))
    else:
        (stocked.folder / "top").write_bytes(b"not to be read")
        stocked.pool.backing["top"] = str(path)
    users = stocked.library.users("debian-11.qcow2")
    assert users == (["the volume top in pool images"] if how == "by libvirt's word" else ["VM web"])
    assert stocked.library.users("debian-10.qcow2") == []


def test_the_listing_tells_what_there_is(stocked):
    thin(stocked, "web", "12.8")
    flip(stocked.folder / "debian-9.qcow2")
    listed = stocked.library.listing()
    assert [(one["version"], one["intact"], one["used_by"]) for one in listed] == [
        ("12.8", True, ["VM web"]),
        ("11", True, []),
        ("10", True, []),
        ("9", False, []),
    ]
    assert listed[0]["path"] == str(stocked.folder / "debian-12.8.qcow2")
    assert not {"inode", "mtime_ns"} & set(listed[0])


# The pool


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: Connection(Pool("images", folder), uri="qemu+tls://h/system"), "is another host's"),
        (
            lambda folder: Connection(Pool("images", folder, kind="logical")),
            "is a pool of type logical, which holds no files; map it to",
        ),
        (lambda folder: Connection(Pool("images", folder, active=False)), "cannot be used (the storage pool images is not active)"),
        (lambda folder: Connection(), "is the storage pool images here, which cannot be used"),
        (lambda folder: Connection(Pool("images", folder / "gone")), "which is no folder here"),
    ],
)
def test_a_pool_that_cannot_hold_a_library_is_refused(tmp_path, make, sentence):
    with pytest.raises(InputError) as caught:
        ImagePool(make(tmp_path), "images", "images")
    assert sentence in str(caught.value)


def test_a_full_disk_is_told_and_leaves_nothing(here, web, monkeypatch):
    web.answers["/d"] = (200, CONTENT, None)
    monkeypatch.setattr(library_module.os, "link", partial(_fail, 28, "No space left on device"))
    with pytest.raises(FederationError, match="cannot be made \\(No space left on device\\)"):
        here.library.bring(image(source={"url": web.url("/d")}))
    assert here.names() == [] and here.library.records.all() == []


def _fail(number, text, *_arguments):
    raise OSError(number, text)
