# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a cluster's migration: what it says of each outcome, and that texts of others stay texts."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration import journal as journals
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.journal import Journal
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.telling import report_of
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.report.files import write_report
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.report.page import html, verdict
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.report.spans import downtime, spans
from ansible_collections.virt8ra.federation.plugins.module_utils.migration.report.timeline import timeline

BEGAN = 1795523100.0
PHASES = ("copying objects", "seed", "stopping", "last delta", "verify", "copying objects", "start", "sign of life")
ENTRY = Journal(
    "a588f2c3a1",
    "shop",
    "workloads",
    "es",
    "de",
    "uid-es",
    "uid-de",
    journals.COMPLETED,
    "2026-11-24T12:25:00+00:00",
    namespaces={"shop": "u"},
    objects={"Deployment": 2, "Secret": 7},
    volumes={"shop/data-0": {"bytes": 1048576, "files": 12, "state": "compared"}},
    events=[{"phase": phase, "began": BEGAN + 2 * i, "ended": BEGAN + 2 * i + 2} for i, phase in enumerate(PHASES)],
    figures={"downtime_ms": 12000, "bytes": 1048576, "verified": True, "sign_of_life": "all that ran is ready"},
)


def report(**changes: Any) -> dict[str, Any]:
    return report_of("completed", replace(ENTRY, **changes))


def test_the_page_says_what_went_along() -> None:
    page = html(report())
    for text in (
        "The application in shop is at de, after 12 s of downtime; every file and both ends were checked",
        "<td>Deployment</td>",
        "<strong>shop/data-0</strong>",
        "1.0 MiB",
        "Seen at de: all that ran is ready",
        "The copy at es is kept, at rest and fenced, until it is released",
        "Migration a588f2c3a1 of shop",
    ):
        assert text in page
    assert " VM" not in page and "guest" not in page


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"phase": journals.SYNCED}, "The application in shop runs at es; its objects and data are in step at de"),
        ({"phase": journals.ABORTED}, "The application in shop stayed at es; the migration to de was taken back"),
        ({"phase": journals.SWITCHING, "step": journals.STARTING}, "The application in shop is on its way from es to de"),
        ({"namespaces": dict.fromkeys("abcde", "")}, "The application in a, b, c and 2 more is at de"),
    ],
)
def test_the_verdict(changes: dict[str, Any], told: str) -> None:
    assert verdict(report(**changes)).startswith(told)


def test_the_picture_shows_when_it_ran_nowhere() -> None:
    told = report()
    pause = downtime(told, spans(told))
    assert pause is not None and pause.ended == BEGAN + 16 and pause.seconds == 12
    picture = timeline(told)
    ET.fromstring(picture)
    assert "The application was down for 12 s" in picture


def test_a_receipt_says_what_was_deleted() -> None:
    receipt = {"objects": {"Secret": 3, "Service": 2}, "namespaces": ["shop"], "erased": "2026-11-25T10:00:00+00:00"}
    page = html(report(phase=journals.RELEASED, figures={**ENTRY.figures, "receipt": receipt}))
    assert "5 objects, namespaces shop" in page


def test_texts_of_others_stay_texts() -> None:
    evil = "<script>alert(1)</script>"
    page = html(report(source=evil, warnings=[evil], objects={evil: 1}, volumes={evil: {"state": evil}}, namespaces={evil: ""}))
    assert "<script>" not in page


def test_the_files_have_the_migrations_name(tmp_path: Path) -> None:
    paths = write_report(report(), str(tmp_path))
    assert Path(paths["html"]).name == "shop-a588f2c3.html"
    assert Path(paths["json"]).exists()
