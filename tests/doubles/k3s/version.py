# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The version that this binary plays; ``build`` writes another file over this one."""

from __future__ import annotations

VERSION = "v1.36.0+k3s1"
COMMIT = "00000000"
