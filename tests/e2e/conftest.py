# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pair of clusters: doubles, or the real ones that ``make e2e-kubernetes`` is given."""

from __future__ import annotations

from tests.integration.clusters import pair

__all__ = ["pair"]
