# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many sites read at the same time, within one time for all of them: a report each, whatever happens to the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from .errors import FederationError

Report = dict[str, Any]


def gather(readings: Mapping[str, Callable[[], Report]], timeout: float) -> dict[str, Report]:
    """What each reading returns, by its name; returns within ``timeout`` seconds.

    One that fails or is late has ``{"fault": "one sentence"}``; nothing is raised for it.
    """
    deadline = time.monotonic() + timeout
    reports: dict[str, Report] = {}

    def read(name: str, reading: Callable[[], Report]) -> None:
        try:
            reports[name] = reading()
        except FederationError as error:
            reports[name] = {"fault": str(error)}
        except Exception as error:  # A fault of one site, even an unforeseen one, must not lose the others.
            reports[name] = {"fault": f"{type(error).__name__}: {error}"}

    threads = [threading.Thread(target=read, args=pair, daemon=True, name=pair[0]) for pair in readings.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = {"fault": f"no answer within {timeout:g} s; check the host, or raise site_timeout"}
    # A copy: a thread that is late must not change what was handed out.
    return {name: reports.get(name, late) for name in readings}
