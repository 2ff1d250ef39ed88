# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes a record of the options of rehearsal_record."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.expression import moment
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.modules.rehearsal_record import new_record

NAMES = {"vm": "a", "site": "rioja", "hypervisor": "kvm1", "target_site": "bonn", "target": "kvm3"}


def test_it_is_of_now_and_names_what_differs():
    made = new_record({"record": NAMES, "before": {"cpus": 1}, "after": {"cpus": 2}})
    assert made.differences == ("cpus was 1 and is 2",)
    assert abs((datetime.now(timezone.utc) - moment(made.finished, "finished")).total_seconds()) < 3600
    assert not (made.bundle_valid or made.started)


def test_a_time_that_is_given_stays():
    given = {**NAMES, "finished": "2026-11-20T10:00:00Z"}
    assert new_record({"record": given, "before": None, "after": None}).finished == "2026-11-20T10:00:00Z"


def test_an_unknown_key_is_refused():
    with pytest.raises(InputError, match=r"record.*bytez"):
        new_record({"record": {**NAMES, "bytez": 1}, "before": None, "after": None})
