# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the bootstrap script that ansible-test would download: the same pip, from the configured package index."""

from __future__ import annotations

import subprocess
import sys

PIP = "pip==24.2"

subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PIP], check=True)
