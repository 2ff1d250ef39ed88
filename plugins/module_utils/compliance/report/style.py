# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shapes of the pages about a federation, beside those that all pages share."""

from __future__ import annotations

from ...page.style import BASE, SCHEME

_COLOURS = """
:root{--sea:#dde9f3;--land:#fafbfc;--coast:#aebfd0;--grid:#cfdeeb;--link:#5b7ea8;--warn:#9a5b00;--warnground:#fff3dc}
@media screen and (prefers-color-scheme:dark){:root{--sea:#0f1720;--land:#243040;--coast:#46586c;--grid:#182330;--link:#7d9dc4;
--warn:#f0b04f;--warnground:#2f2413}}
"""

_SHAPES = """
.map{display:block;width:100%;height:auto;border-radius:8px;overflow:hidden;font-family:inherit}
.sea{fill:var(--sea)} .grid{fill:none;stroke:var(--grid)} .land{fill:var(--land);stroke:var(--coast);stroke-linejoin:round}
.link{fill:none;stroke:var(--link);stroke-width:1.8;stroke-opacity:.75}
.map text{paint-order:stroke;stroke:var(--land);stroke-width:4px;stroke-linejoin:round;fill:var(--ink);font-size:13px}
.map .name{font-weight:650} .map .small{fill:var(--soft);font-size:12px}
.map .rtt{text-anchor:middle;font-size:11.5px;fill:var(--link);font-weight:600}
.map .count{text-anchor:middle;font-size:11.5px;font-weight:700;fill:var(--paper);stroke:none}
.site .dot{stroke:var(--paper);stroke-width:2}
.site.good .dot{fill:var(--good)} .site.bad .dot,.site.bad .halo{fill:var(--bad)} .site.warn .dot{fill:var(--warn)}
.site.none .dot{fill:var(--soft)} .site .halo{fill-opacity:.18}
.key{color:var(--soft);font-size:13px;margin:10px 0 0} .key span{white-space:nowrap;margin-right:14px}
.warn{color:var(--warn)}
.tiles .bad dd{color:var(--bad)} .tiles .good dd{color:var(--good)} .tiles .warn dd{color:var(--warn)} .tiles dd small{font-size:13px;
font-weight:400;color:var(--soft)} .tiles .bad,.tiles .good,.tiles .warn{color:inherit}
.tiles{grid-template-columns:repeat(auto-fit,minmax(128px,1fr))}
.bar,.wide .bar{display:block;width:100%;min-width:0;height:10px;border-radius:5px} td .bar{margin:6px 0 3px}
.bar .track{fill:var(--track);stroke:none} .bar .pass{fill:var(--good)} .bar .fail{fill:var(--bad)} .bar .waived{fill:var(--warn)}
.bar .unknown{fill:var(--soft)} .bar .full{fill:var(--copy)}
.scores{margin:0 0 10px} .scores div{display:grid;grid-template-columns:minmax(0,1fr) minmax(80px,1.2fr) 48px;gap:2px 16px;
align-items:center;margin:0 0 6px}
.scores .n{font-variant-numeric:tabular-nums}
th,td{overflow-wrap:break-word;max-width:320px} td .tag{white-space:nowrap}
h3{font-size:15px;margin:14px 0 8px}
.filter{position:absolute;opacity:0;pointer-events:none}
.filters{display:flex;flex-wrap:wrap;gap:8px;margin:0 0 12px}
.filters label{border:1px solid var(--line);border-radius:99px;padding:3px 14px;cursor:pointer;font-size:14px}
details>summary{cursor:pointer;list-style:none} details>summary::-webkit-details-marker{display:none}
.control{border-top:1px solid var(--line)} .control>summary{display:flex;gap:4px 12px;padding:10px 0;flex-wrap:wrap;align-items:baseline}
.control>summary::before,.finding>summary::before{content:"▸";color:var(--soft);flex:none}
.control[open]>summary::before,.finding[open]>summary::before{content:"▾"}
.control .id{font:600 13px ui-monospace,"DejaVu Sans Mono",Consolas,monospace;color:var(--soft)}
.control .title{font-weight:600;flex:1 1 200px;min-width:0} .control .counts{font-size:13px;color:var(--soft)}
.within{padding:0 0 14px 20px} .within p{color:var(--soft);font-size:14px}
.finding{border-left:3px solid var(--line);padding:0 0 0 12px;margin:0 0 4px}
.finding>summary{display:flex;gap:2px 10px;flex-wrap:wrap;padding:4px 0;font-size:14px;align-items:baseline}
.finding .who{font-weight:600} .finding .why{flex:1 1 260px;min-width:0;max-height:4.5em;overflow:hidden} .finding[open] .why{max-height:none}
.finding.fail{border-color:var(--bad)} .finding.waived,.finding.error{border-color:var(--warn)} .finding.pass{border-color:var(--good)}
.tag{font-size:12px;font-weight:700;flex:none} .tag.fail{color:var(--bad)} .tag.pass{color:var(--good)}
.tag.waived,.tag.error{color:var(--warn)} .tag.not_assessed,.tag.not_applicable{color:var(--soft)}
.severity{font-size:12px;border-radius:4px;padding:0 6px;background:var(--track);color:var(--soft)}
.severity.critical,.severity.high{background:var(--badground);color:var(--bad)}
pre{font:12px/1.45 ui-monospace,"DejaVu Sans Mono",Consolas,monospace;background:var(--ground);border-radius:6px;padding:8px 10px;
margin:4px 0 8px;white-space:pre-wrap;overflow-wrap:anywhere}
.changes{margin:0;padding:0;list-style:none} .changes li{padding:3px 0}
:focus-visible+.filters label,summary:focus-visible,.filter:focus-visible{outline:2px solid var(--copy);outline-offset:2px}
@media (max-width:600px){body{padding:18px 12px 32px}section{padding:14px 12px}h1{font-size:24px}.within{padding-left:6px}
.wide table{min-width:660px} .wide .map{min-width:680px}
.scores div{grid-template-columns:1fr auto} .scores .bar{grid-row:2;grid-column:1/3}}
@media print{.filters{display:none}.control,.finding{break-inside:avoid}section.findings{break-inside:auto}}
"""

KINDS = (("all", "All"), ("fail", "Fails"), ("waived", "Waived"), ("unknown", "Not judged"), ("pass", "Pass"))
"""The filters of the findings."""


def _filters() -> str:
    """Without a script: a radio button hides what is not of its kind."""
    rules = []
    for kind, _word in KINDS:
        rules.append(
            f"#show-{kind}:checked~.filters label[for=show-{kind}]{{background:var(--ink);color:var(--paper);border-color:var(--ink)}}"
        )
        if kind != "all":
            rules.append(f"#show-{kind}:checked~.controls :is(.control:not(.has-{kind}),.finding:not(.is-{kind})){{display:none}}")
    return "".join(rules)


SHEET = f"{SCHEME}{BASE}{_COLOURS}{_SHAPES}{_filters()}"
"""For the page of a federation, judged or not."""
