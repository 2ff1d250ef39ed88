# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole page that needs nothing from elsewhere, and whose policy lets nothing in. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape


def frame(title: str, sheet: str, parts: Iterable[str]) -> str:
    """The page; its only style is ``sheet``, and a script, a picture or a form in it would do nothing.

    :param title: text
    :param parts: HTML
    """
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title><style>{sheet}</style></head><body>",
            *(part for part in parts if part),
            "</body></html>",
            "",
        ]
    )
