# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report: what it says of each outcome, that texts of others stay texts, and that it is written once."""

from __future__ import annotations

import copy
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.report.files import write_report
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.report.page import html, verdict
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.report.spans import downtime, gaps, guest_ran, spans
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.report.timeline import timeline

BEGAN = 1795523100.0
WARM = {
    "schema": 1,
    "vm": "web-1",
    "uuid": "0c721ee7-6ba0-4ee9-968e-302d4521b545",
    "id": "a588f2c3a1",
    "mode": "warm",
    "mode_reason": "not live: the link is slow; warm fits",
    "state": "completed",
    "phase": "completed",
    "source": "es-1",
    "target": "de-1",
    "source_site": "es",
    "target_site": "de",
    "source_country": "ES",
    "target_country": "DE",
    "epoch": 3,
    "started": "2026-11-24T12:25:00+00:00",
    "ended": "2026-11-24T12:25:20+00:00",
    "events": [
        {"phase": "seed", "began": BEGAN, "ended": BEGAN + 5},
        {"phase": "round 1", "began": BEGAN + 9, "ended": BEGAN + 10},
        {"phase": "stopping", "began": BEGAN + 10, "ended": BEGAN + 12},
        {"phase": "last delta", "began": BEGAN + 12, "ended": BEGAN + 13, "bytes": 65536},
        {"phase": "start", "began": BEGAN + 13, "ended": BEGAN + 14},
        {"phase": "sign of life", "began": BEGAN + 14, "ended": BEGAN + 15},
    ],
    "rounds": [
        {"round": 0, "kind": "full", "reason": "the first round", "dirty_bytes": 67108864, "bytes": 22020096, "seconds": 5.0},
        {"round": 1, "kind": "last", "dirty_bytes": 65536, "bytes": 65536, "seconds": 1.0, "bytes_per_second": 65536},
    ],
    "disks": {
        "vda": {"capacity": 67108864, "source_format": "qcow2", "format": "raw", "path": "/vms/web", "verified_bytes": 22085632}
    },
    "figures": {
        "total_ms": 15000,
        "downtime_ms": 5000,
        "bytes": 22085632,
        "verified": True,
        "sign_of_life": "the guest sent a packet",
    },
    "warnings": [],
    "takeovers": 1,
}


def test_the_verdict_of_each_outcome():
    assert verdict(WARM) == "web-1 is at de-1, after 5.0 s of downtime; every extent and both ends were checked"
    assert "both ends were checked" in verdict({**WARM, "mode": "live"}) and "extent" not in verdict({**WARM, "mode": "live"})
    assert "not all of it could be checked" in verdict({**WARM, "figures": {"verified": False}})
    assert verdict({**WARM, "phase": "aborted"}) == "web-1 stayed at es-1; the migration to de-1 was taken back"
    assert "did not come to its end" in verdict({**WARM, "phase": "switching", "error": "the link is down"})
    assert verdict({**WARM, "phase": "synced"}) == "web-1 runs at es-1; its disks are in step at de-1"
    assert verdict({}) == "No migration of The VM is known"


def test_the_guest_is_shown_where_it_ran_and_its_downtime_where_it_was():
    found = spans(WARM)
    pause = downtime(WARM, found)
    assert (pause.began, pause.ended) == (BEGAN + 10, BEGAN + 15)
    lanes = guest_ran(WARM, found, pause)
    assert [(one.began, one.ended) for one in lanes["source"]] == [(BEGAN, BEGAN + 10)]
    assert [(one.began, one.ended) for one in lanes["target"]] == [(BEGAN + 15, None)]
    assert [(gap.began, gap.ended) for gap in gaps(found)] == [(BEGAN + 5, BEGAN + 9)]


def test_an_aborted_migration_shows_the_guest_at_its_source_only():
    report = {**WARM, "phase": "aborted", "figures": {}, "events": WARM["events"][:2]}
    lanes = guest_ran(report, spans(report), downtime(report, spans(report)))
    assert len(lanes["source"]) == 1 and lanes["target"] == []


def test_the_page_has_the_numbers_and_the_picture():
    page = html(WARM)
    for words in (
        "5.0 s of downtime",
        "21.1 MiB",
        "qcow2 to raw",
        "not live: the link is slow; warm fits",
        "the guest sent a packet",
    ):
        assert words in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", ""), "nothing is fetched from elsewhere"
    picture = ET.fromstring(timeline(WARM))
    assert picture.tag.endswith("svg") and "The guest was down for 5.0 s" in picture.findtext("{*}desc")


def test_the_page_tells_what_was_erased():
    receipt = {"erased": "2026-11-25T08:00:00+00:00", "volumes": ["/vms/web-old"], "hypervisor": "es-1"}
    page = html({**WARM, "phase": "released", "figures": {**WARM["figures"], "receipt": receipt}})
    assert "deleted at 2026-11-25 08:00:00 UTC: /vms/web-old" in page


def test_the_same_report_gives_the_same_bytes():
    assert html(WARM) == html(copy.deepcopy(WARM))


def test_texts_of_others_stay_texts():
    evil = "<script>alert(1)</script>"
    report = {
        **WARM,
        **dict.fromkeys(("vm", "source", "target", "mode_reason", "phase", "error", "mode"), evil),
        "events": [{"phase": evil, "began": BEGAN, "ended": BEGAN + 1, "note": evil}],
        "warnings": [evil],
        "disks": {evil: {"path": evil, "format": evil}},
        "rounds": [{"kind": evil, "reason": evil}],
    }
    assert "<script" not in html(report)


@pytest.mark.parametrize("key", sorted(WARM))
def test_every_key_may_be_missing_or_odd(key):
    for value in (None, [], {}, "odd", -1, float("nan")):
        assert html({**WARM, key: value}).startswith("<!DOCTYPE html>")
    assert html({name: value for name, value in WARM.items() if name != key}).endswith("</html>\n")


def test_an_empty_report_is_a_page_too():
    assert "No migration of The VM is known" in html({})


def test_it_is_written_once_and_not_replaced_by_an_emptier_one(tmp_path):
    paths = write_report(WARM, str(tmp_path / "reports"))
    assert Path(paths["json"]).name == "web-1-a588f2c3.json"
    assert json.loads(Path(paths["json"]).read_text("utf-8")) == WARM
    page = Path(paths["html"]).read_text("utf-8")
    inode = Path(paths["html"]).stat().st_ino
    assert write_report(WARM, str(tmp_path / "reports")) == paths and Path(paths["html"]).stat().st_ino == inode
    write_report({**WARM, "events": [], "phase": "released"}, str(tmp_path / "reports"))
    assert Path(paths["html"]).read_text("utf-8") == page


def test_a_name_stays_inside_its_folder(tmp_path):
    paths = write_report({**WARM, "vm": "../../etc/x", "id": "/../y"}, str(tmp_path))
    assert {Path(path).parent for path in paths.values()} == {tmp_path}


def test_a_folder_that_cannot_be_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be"):
        write_report(WARM, str(tmp_path / "file"))
