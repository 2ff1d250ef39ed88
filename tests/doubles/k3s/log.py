# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines as logrus writes them, on standard error."""

from __future__ import annotations

import json
import sys
import time
from typing import NoReturn


def say(level: str, message: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(f'time="{stamp}" level={level} msg={json.dumps(message)}', file=sys.stderr, flush=True)


def info(message: str) -> None:
    say("info", message)


def warn(message: str) -> None:
    say("warning", message)


def error(message: str) -> None:
    say("error", message)


def fatal(message: str) -> NoReturn:
    """The end of the process, with status 1."""
    say("fatal", message)
    raise SystemExit(1)
