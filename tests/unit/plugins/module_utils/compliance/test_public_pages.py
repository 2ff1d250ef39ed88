# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pages are fetched over real HTTP, from a server on the loopback; what nobody serves is not assessed, not failed."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.public_pages import add_public_pages, fetch_page
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.subjects import Subject
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Site

PAGE = "<p>Jurisdiction: SPAIN, Logroño</p>".encode()
DIGEST = hashlib.sha256(PAGE).hexdigest()


class Pages(BaseHTTPRequestHandler):
    def do_GET(self):
        status = {"/page": 200, "/moved": 302}.get(self.path, 404)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/page")
        self.end_headers()
        self.wfile.write(PAGE if status == 200 else b"")

    def log_message(self, *_args):
        """Silent."""


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def test_a_page_that_says_it(server):
    page = fetch_page(f"{server}/moved", ["spain", "Logroño"], DIGEST)
    assert (page["status"], page["names_all"], page["missing"], page["digest_holds"]) == (200, True, [], True)
    assert page["sha256"] == DIGEST


def test_a_page_that_does_not(server):
    page = fetch_page(f"{server}/page", ["Spain", "Germany"], "0" * 64)
    assert (page["names_all"], page["missing"], page["digest_holds"]) == (False, ["Germany"], False)


def test_a_page_that_is_not_there(server):
    assert fetch_page(f"{server}/none", [], None)["status"] == 404


def site(url):
    attestation = {"claim": "jurisdiction_page", "value": "Spain", "evidence": url, "expires": "2026-12-31"}
    return Site.from_dict({"name": "rioja", "provider": "Arsys", "country": "ES", "attestations": [attestation]})


def test_facts_of_a_site(server):
    subject = Subject("site", "rioja", "rioja")
    add_public_pages([subject], [site(f"{server}/page")], "2026-11-25")
    assert subject.facts["jurisdiction_page"]["data"]["status"] == 200
    assert "formats_register" not in subject.facts


def test_a_server_that_is_away_is_no_finding(server):
    subject = Subject("site", "rioja", "rioja")
    add_public_pages([subject], [site("http://127.0.0.1:9/page")], "2026-11-25")
    assert "refused" in subject.facts["jurisdiction_page"]["error"]
