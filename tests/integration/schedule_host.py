# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host of its own for the role compliance_schedule: a lab container with a systemd, without a network, made and taken away here.

The virtual environment and the collection of this checkout are mounted into it, so that it runs the real ansible-runner.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from .lab import ROOT, command, environment, faulty

ROLES = ROOT / "roles"
DEFAULTS = yaml.safe_load((ROLES / "lab_site" / "defaults" / "main.yml").read_text(encoding="utf-8"))
LAB = yaml.safe_load((ROLES / "lab_site" / "vars" / "main.yml").read_text(encoding="utf-8"))
VENV = Path(sys.prefix).resolve()
COLLECTIONS = "/srv/collections"
SITE = "/srv/site"

# Stands where the collection's playbook does: tells, writes a report and ends as the file /srv/site/next.json says, once /srv/site/hold is gone.
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars:
    next: "{{ lookup('ansible.builtin.file', '/srv/site/next.json') | from_json }}"
  tasks:
    - ansible.builtin.wait_for: {path: /srv/site/hold, state: absent, timeout: 300, sleep: 1}
    - ansible.builtin.copy: {src: /srv/site/findings.json, dest: "{{ report_dir }}/findings.json", force: true, mode: "0640"}
      when: next.report
    - ansible.builtin.set_stats: {data: "{{ next.told }}"}
      when: next.told | length > 0
    - ansible.builtin.assert: {that: not next.fail}
"""

# Notes what the webhook is told, one JSON object a line.
LISTENER = """
import http.server, json, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open("/srv/site/told.jsonl", "a") as file:
            file.write(json.dumps({"headers": {k.lower(): v for k, v in self.headers.items()}, "body": body}) + "\\n")
        self.send_response(int(pathlib.Path("/srv/site/answer").read_text()))
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8099), Handler).serve_forever()
"""


class ScheduleHost:
    """The container, from ``start`` to ``remove``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def start(self) -> None:
        argv = ["podman", "run", "--detach", "--name", self.name, "--hostname", self.name, "--network=none", "--runtime=runc"]
        argv += [
            "--pull=never",
            "--systemd=false",
            "--cgroupns=private",
            "--tmpfs=/run:rw,nosuid,nodev,mode=755",
            "--pids-limit=4096",
        ]
        argv += [f"--ulimit={one}" for one in DEFAULTS["lab_site_ulimits"]]
        argv += [f"--cap-add={one}" for one in LAB["__lab_site_capabilities"]]
        argv += [f"--security-opt={one}" for one in LAB["__lab_site_security"]]
        argv += [f"--volume={VENV}:{VENV}:ro", f"--volume={ROOT}:{COLLECTIONS}/ansible_collections/virt8ra/federation:ro"]
        self._podman(*argv[1:], DEFAULTS["lab_site_image"])
        self.run(
            "for i in $(seq 60); do systemctl is-system-running --wait | grep -Eq 'running|degraded' && exit 0; sleep 1; done; exit 1"
        )
        self.run(f"mkdir -p {SITE} /var/lib/node-exporter")
        self.write(f"{SITE}/compliance.yml", PLAYBOOK)
        self.write(f"{SITE}/listener.py", LISTENER)
        self.write(f"{SITE}/answer", "204")
        self.run(f"systemd-run --unit=listener python3 {SITE}/listener.py")

    def remove(self) -> None:
        subprocess.run(["podman", "rm", "--force", "--time=0", self.name], check=False, capture_output=True, timeout=120)

    def run(self, shell_command: str, *, check: bool = True) -> str:
        done = self._exec("sh", "-c", shell_command)
        if check and done.returncode:
            raise AssertionError(
                f"{shell_command}\n{done.stdout}{done.stderr}\n{self._exec('journalctl', '-n', '40', '--no-pager').stdout}"
            )
        return done.stdout.strip()

    def status(self, shell_command: str) -> int:
        return self._exec("sh", "-c", shell_command).returncode

    def write(self, path: str, text: str) -> None:
        subprocess.run(
            ["podman", "exec", "--interactive", self.name, "sh", "-c", 'cat > "$1"', "sh", path],
            input=text.encode(), check=True, timeout=60,
        )  # fmt: skip

    def apply(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """The role with these options; ``{rc, shown, changed}``. An AssertionError where it failed."""
        told = self.attempt(check=check, **options)
        assert told["rc"] == 0, (faulty(told["shown"]), told["shown"])
        return told

    def attempt(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        given = {
            **{"compliance_schedule_install": "none", "compliance_schedule_python": f"{VENV}/bin/python"},
            **{"compliance_schedule_collections_path": COLLECTIONS, "compliance_schedule_playbook": f"{SITE}/compliance.yml"},
            **{f"compliance_schedule_{name}": value for name, value in options.items()},
        }
        play = [{"name": "test", "hosts": "all", "gather_facts": False, "roles": ["virt8ra.federation.compliance_schedule"]}]
        host = {"ansible_connection": "containers.podman.podman", "ansible_python_interpreter": "/usr/bin/python3"}
        with tempfile.TemporaryDirectory(prefix="virt8ra-test-") as folder:
            playbook, inventory = Path(folder) / "play.yml", Path(folder) / "hosts.yml"
            playbook.write_text(yaml.safe_dump(play), encoding="utf-8")
            inventory.write_text(yaml.safe_dump({"all": {"hosts": {self.name: host}}}), encoding="utf-8")
            argv = [
                command("ansible-playbook"),
                "-i",
                str(inventory),
                str(playbook),
                "-e",
                json.dumps(given),
                "--diff",
                *["--check"] * check,
            ]
            done = subprocess.run(
                argv,
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
        shown = done.stdout + done.stderr
        return {"rc": done.returncode, "shown": shown, "changed": f"{self.name}" in shown and " changed=0 " not in shown}

    def _exec(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["podman", "exec", self.name, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
        )

    @staticmethod
    def _podman(*argv: str) -> None:
        done = subprocess.run(["podman", *argv], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr


def own_name() -> str:
    """Of a container that no other run of the tests has."""
    return f"t-schedule-{os.getpid()}"
