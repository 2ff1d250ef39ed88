# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Benchmarks against the tools that a user would otherwise pick: ``python -m tests.benchmarks``."""

import sys
from pathlib import Path

# Where the Makefile links this checkout as a collection.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "build" / "collections"))
