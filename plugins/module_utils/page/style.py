# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The colours and shapes that all pages share: style sheets without anything from elsewhere."""

from __future__ import annotations

_LIGHT = """
--paper:#ffffff;--ground:#f4f6f8;--ink:#18212c;--soft:#56616f;--line:#d8dee6;--track:#eef1f5;--on:#ffffff;
--run:#12774f;--copy:#2460c2;--check:#7443bd;--switch:#a8500a;--prepare:#64717f;--wait:#64717f;--back:#a8500a;--other:#64717f;
--down:#c5283d;--stream:#2460c2;--good:#12774f;--bad:#b3202f;--note:#8a5a00;--noteground:#fff6dc;--badground:#fdecee
"""
_DARK = """
--paper:#161c24;--ground:#0d1218;--ink:#e7ecf2;--soft:#9ca9b8;--line:#2f3946;--track:#212a35;--on:#0c1116;
--run:#3fbf86;--copy:#6ea4f7;--check:#b594f2;--switch:#e99a4d;--prepare:#94a1b0;--wait:#94a1b0;--back:#e99a4d;--other:#94a1b0;
--down:#ff6b7d;--stream:#6ea4f7;--good:#4fcf95;--bad:#ff7b8a;--note:#f0c35a;--noteground:#2b2413;--badground:#2f161b
"""
SCHEME = f":root{{{_LIGHT}}}@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}}}".replace("\n", "")
"""The colours by their names, light and dark."""

BASE = """*{box-sizing:border-box}
html{background:var(--ground)}
body{margin:0 auto;padding:32px 20px 48px;max-width:1080px;color:var(--ink);overflow-wrap:anywhere;
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}
h1{font-size:30px;line-height:1.2;margin:6px 0 14px;text-wrap:balance}
h2{font-size:18px;margin:0 0 12px}
p{margin:0 0 8px}
.over{color:var(--soft);margin:0}
.badge{display:inline-block;padding:1px 10px;border-radius:99px;border:1.5px solid;font-weight:600;font-size:13px}
.good{color:var(--good)} .bad{color:var(--bad)} .soft{color:var(--soft)} .going{color:var(--copy)}
.box{border-left:4px solid;border-radius:6px;padding:10px 14px;margin:14px 0}
.box.error{border-color:var(--bad);background:var(--badground)}
.box.warning{border-color:var(--note);background:var(--noteground)}
.box ul{margin:4px 0 0;padding-left:18px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:20px 0;padding:0}
.tiles div{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.tiles dt{color:var(--soft);font-size:13px} .tiles dd{margin:2px 0 0;font-size:22px;font-weight:650;line-height:1.25}
section{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:0 0 18px}
.wide{overflow-x:auto} .wide svg{display:block;width:100%;min-width:760px;height:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:10px 0 4px}
th,td{text-align:left;padding:6px 14px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
tbody tr:last-child>*{border-bottom:0}
thead th{color:var(--soft);font-weight:600;font-size:13px} tbody th{font-weight:600}
.n{text-align:right;white-space:nowrap}
code{font:13px/1.4 ui-monospace,"DejaVu Sans Mono",Consolas,monospace}
.meter{display:block;height:10px;min-width:3px;border-radius:2px;background:var(--copy)}
.meter.dirty{height:4px;margin-top:2px;background:var(--switch)}
.barcell{width:38%;min-width:120px;padding-top:11px}
.checks{list-style:none;margin:0;padding:0} .checks li{padding:5px 0 5px 30px;position:relative}
.checks .mark{position:absolute;left:2px;font-weight:700}
footer{color:var(--soft);font-size:13px} a{color:var(--copy)}
@media print{html{background:none}body{padding:0;max-width:none}section,.tiles div{break-inside:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}.wide svg{min-width:0}}
"""
"""For the page."""
