# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pages in headless Chromium: nothing is complained of, hostile texts stay texts, and a phone needs no scrolling sideways.

Screenshots stay in build/compliance-page/.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.report import glance, page

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "unit" / "plugins" / "module_utils" / "compliance" / "report"))

from sample_findings import HOSTILE, LINKS, SITES, large, sample

OUT = ROOT / "build" / "compliance-page"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "chromium")
GLANCE = {
    "federation": "virt8ra",
    "sites": SITES,
    "latencies": LINKS,
    "hypervisors": [
        {
            "name": f"kvm1.{site['name']}.example",
            "site": site["name"],
            "reachable": number != 3,
            "capacity": {"cpus": 64, "cpus_used": 7 * number, "memory": 2**38, "memory_used": number * 2**34},
            "pools": [{"capacity": 2**43, "free": 2**43 - number * 2**39}],
        }
        for number, site in enumerate(SITES)
    ],
    "vms": [
        {
            "name": name,
            "site": "bit-ede",
            "hypervisor": "kvm1",
            "state": "running",
            "cpus": 2,
            "memory": 2**32,
            "addresses": ["192.0.2.7"],
        }
        for name in ("web-1", HOSTILE["markup"], HOSTILE["long"])
    ],
    "clusters": [{"name": "edge", "site": "bit-ede", "version": "v1.36.1+k3s1", "nodes": [{"name": "a", "ready": True}]}],
    "migrations": [
        {"name": "web-1", "kind": "vm", "source": "bit-ede", "target": "ionos-berlin", "mode": "warm", "phase": "synced"}
    ],
}
PAGES = {"report": page.html(sample()), "large": page.html(large(20, 12)), "glance": glance.glance(GLANCE)}

# Put before the page's end only here, with a policy that lets it run: what a reader's eyes would measure.
PROBE = """<script>
const wide = document.documentElement.scrollWidth, room = document.documentElement.clientWidth;
const marks = document.querySelectorAll('script:not(#probe), img').length;
const told = {wide, room, marks, ran: typeof window.hurt};
document.documentElement.setAttribute('data-told', JSON.stringify(told));
</script>"""


@pytest.fixture
def chromium(tmp_path):
    """Runs Chromium with options on a page; its standard output and what it logged."""

    def run(text, *options):
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--v=0"]
        flags += [f"--user-data-dir={tmp_path / 'profile'}", "--force-device-scale-factor=1"]
        done = subprocess.run([CHROMIUM, *flags, *options, path.as_uri()], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


@pytest.mark.parametrize("name", PAGES)
def test_the_console_stays_empty_and_hostile_texts_stay_texts(chromium, name):
    dom, console = chromium(PAGES[name], "--dump-dom")
    assert console == []
    assert not re.search(r"<(script|img)\b", dom)
    text = html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<style>.*?</style>", "", dom, flags=re.DOTALL)))
    assert "made by virt8ra.federation" in text
    if name != "large":
        assert HOSTILE["markup"] in text


def test_the_policy_lets_no_script_run(chromium):
    """The same page with a script in it: the page's own policy stops it."""
    script = "<script>document.documentElement.setAttribute('data-ran', '1')</script></body>"
    dom, console = chromium(PAGES["report"].replace("</body>", script), "--dump-dom")
    assert "data-ran=" not in dom and console


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_window(chromium, name, width):
    # A window of Chromium is never narrower than 500 pixels; a frame in it is.
    inner = PAGES[name].replace("<details", "<details open")
    inner = re.sub(r"<meta http-equiv=[^>]*>", "", inner).replace("</body>", f"{PROBE}</body>")
    frame = f'<body style="margin:0"><iframe id="f" style="border:0;width:{width}px;height:3000px" srcdoc="{html.escape(inner)}"></iframe>'
    frame += "<script>onload=()=>document.body.setAttribute('data-told',document.getElementById('f').contentDocument.documentElement.dataset.told)</script>"
    dom, _console = chromium(f"<!DOCTYPE html>{frame}", "--dump-dom", "--window-size=1400,3000")
    wide, room = map(int, re.search(r'data-told="\{&quot;wide&quot;:(\d+),&quot;room&quot;:(\d+)', dom).groups())
    assert room == width and wide <= width


@pytest.mark.parametrize("name", PAGES)
def test_it_is_drawn_light_dark_and_on_a_phone(chromium, name):
    OUT.mkdir(parents=True, exist_ok=True)
    sizes = {}
    for kind, options in {
        "light": ["--window-size=1200,2600"],
        "dark": ["--window-size=1200,2600", "--blink-settings=preferredColorScheme=0"],
        "phone": ["--window-size=500,2600"],
    }.items():
        path = OUT / f"{name}-{kind}.png"
        path.unlink(missing_ok=True)
        chromium(PAGES[name], f"--screenshot={path}", *options)
        sizes[kind] = path.stat().st_size
        assert path.read_bytes().startswith(b"\x89PNG")
    assert (OUT / f"{name}-light.png").read_bytes() != (OUT / f"{name}-dark.png").read_bytes()
    assert min(sizes.values()) > 20_000, "there is something to see"
