# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The frameworks that clauses may be of, by their short names. A file of controls may name more of them."""

from __future__ import annotations

FRAMEWORKS = {
    "CSF": "European Commission, Cloud Sovereignty Framework",
    "C3A": "BSI, Criteria enabling Cloud Computing Autonomy (C3A) 1.0",
    "DA": "Regulation (EU) 2023/2854, Data Act",
    "GX": "Gaia-X Compliance Document, criteria",
    "SNC": "ANSSI, SecNumCloud 3.2",
    "IR": "Implementing Regulation (EU) 2024/2690, annex",
    "C5": "BSI, Cloud Computing Compliance Criteria Catalogue (C5)",
    "K3S-CIS": "CIS benchmark for k3s, self-assessment guide",
}
