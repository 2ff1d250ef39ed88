# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shapes of a migration's picture, with the colours of all pages."""

from __future__ import annotations

from ...page.style import BASE, SCHEME

_SHAPES = """
.timeline,.bars{font-family:system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;font-size:12px}
.timeline text{fill:var(--ink)}
.timeline .name{font-weight:600;font-size:13px}
.timeline .small{fill:var(--soft);font-size:11px}
.timeline .on{fill:var(--on);font-weight:600}
.timeline .paper{fill:var(--paper)}
.track{fill:var(--track);stroke:var(--line)}
.run{fill:var(--run)}
.copy{fill:var(--copy)} .check{fill:var(--check)} .switch{fill:var(--switch)} .back{fill:var(--back)}
.prepare{fill:var(--prepare)} .wait{fill:var(--wait)} .other{fill:var(--other)}
.cut{fill-opacity:.45;stroke:var(--down);stroke-width:2;stroke-dasharray:4 3}
.timeline .cut+.on{fill:var(--ink)}
.open{stroke:var(--ink);stroke-width:1.5}
.stream{fill:var(--stream);fill-opacity:.13}
.arrow{fill:var(--stream)}
.down{fill:var(--down);fill-opacity:.22;stroke:var(--down)}
.timeline .downword{fill:var(--down);font-weight:700;font-size:13px}
.idle{stroke:var(--line)} .hatch{stroke:var(--soft);stroke-opacity:.5;stroke-width:2}
.axis{stroke:var(--soft);stroke-opacity:.6;fill:none}
.lens{fill:var(--soft);fill-opacity:.08;stroke:var(--soft);stroke-opacity:.35;stroke-dasharray:3 3}
"""

PICTURE = f"{SCHEME}{_SHAPES}"
"""For a picture in a file of its own."""

PAGE = f"{PICTURE}\n{BASE}"
"""For the page."""
