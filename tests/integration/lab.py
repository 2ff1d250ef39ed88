# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab as tests see it: modules, playbooks and the inventory through Ansible's own commands, and a shell on each host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventories" / "lab"
SSH_KEY = ROOT / "build" / "lab" / "ssh" / "id_ed25519"
KNOWN_HOSTS = ROOT / "build" / "lab" / "known_hosts"
ADDRESSES = {"lab-es-1": "10.213.77.11", "lab-de-1": "10.213.77.12", "lab-es-2": "10.213.77.13"}
SITES = {"lab-es-1": "lab-es", "lab-de-1": "lab-de", "lab-es-2": "lab-es-south"}
TIMEOUT = 900


class Unsafe(str):
    """A string that Ansible must not take for a template."""


class _Dumper(yaml.SafeDumper):
    """Writes Unsafe with Ansible's tag."""


_Dumper.add_representer(Unsafe, lambda dumper, value: dumper.represent_scalar("!unsafe", str(value), style="'"))


def command(name: str) -> str:
    """An Ansible command of the environment in which the tests run."""
    return str(Path(sys.executable).parent / name)


def environment(**more: str) -> dict[str, str]:
    """As a person has it, without colours; ``more`` on top."""
    return {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", "PYTHONUNBUFFERED": "1", **more}


def faulty(shown: str) -> list[str]:
    """The lines of a play's recap that tell a failure, or all of what was shown where it has no recap."""
    recap = re.findall(r"^\S+ +: ok=.*$", shown, re.MULTILINE)
    return [line for line in recap if not re.search(r"unreachable=0 +failed=0 ", line)] if recap else [shown]


class Lab:
    """The provisioned hosts of ADDRESSES, each a site of its own."""

    inventory = INVENTORY

    @staticmethod
    def ssh(host: str, shell_command: str) -> list[str]:
        """The command line that runs a command on the host."""
        return [
            *("ssh", "-i", str(SSH_KEY), "-o", f"UserKnownHostsFile={KNOWN_HOSTS}", "-o", "StrictHostKeyChecking=yes"),
            *("-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", "ControlPath=/tmp/virt8ra-%C"),
            *("-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "LogLevel=ERROR"),
            f"root@{ADDRESSES[host]}",
            shell_command,
        ]

    def run(self, host: str, shell_command: str, *, check: bool = True, given: str = "") -> str:
        """What the command printed on the host, to which ``given`` is fed; AssertionError when it failed and ``check``."""
        argv = self.ssh(host, shell_command)
        done = subprocess.run(argv, input=given, check=False, text=True, capture_output=True, timeout=TIMEOUT)
        if check and done.returncode:
            raise AssertionError(f"on {host}: {shell_command}\n{done.stdout}{done.stderr}")
        return done.stdout

    def module(
        self,
        host: str,
        module: str,
        args: dict[str, Any],
        *,
        check: bool = False,
        diff: bool = False,
        inventory: Path | None = None,
    ) -> dict[str, Any]:
        """The result of one task with this module; a failure is a result with ``failed``."""
        task = {"name": "test", module: args}
        return self.tasks(host, [task], check=check, diff=diff, inventory=inventory)[-1]

    def tasks(
        self, host: str, tasks: list[dict[str, Any]], *, check: bool = False, diff: bool = False, inventory: Path | None = None
    ) -> list[dict[str, Any]]:
        """The results of these tasks on one host, in order; it ends with the first that failed."""
        play = [{"name": "test", "hosts": host, "gather_facts": False, "tasks": tasks}]
        with tempfile.TemporaryDirectory(prefix="virt8ra-test-") as folder:
            path = Path(folder) / "play.yml"
            path.write_text(yaml.dump(play, Dumper=_Dumper, allow_unicode=True), encoding="utf-8")
            told = self.playbook(path, check=check, diff=diff, inventory=inventory)
        return [task["hosts"][host] for play in told["plays"] for task in play["tasks"] if host in task["hosts"]]

    def playbook(
        self,
        path: Path | str,
        *,
        check: bool = False,
        diff: bool = False,
        inventory: Path | None = None,
        extra: dict[str, Any] | None = None,
        limit: str | None = None,
    ) -> dict[str, Any]:
        """``{plays, stats, rc}``: what Ansible's JSON callback told, with the command's exit status."""
        argv = [command("ansible-playbook"), "-i", str(inventory or self.inventory), str(ROOT / path)]
        argv += ["--check"] * check + ["--diff"] * diff
        if limit:
            argv += ["--limit", limit]
        if extra:
            argv += ["-e", json.dumps(extra)]
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment(ANSIBLE_STDOUT_CALLBACK="ansible.posix.json", ANSIBLE_DEPRECATION_WARNINGS="0"),
            text=True,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        start = done.stdout.find("{\n")
        if start < 0:
            raise AssertionError(f"{' '.join(argv)} told nothing\n{done.stdout}{done.stderr}")
        told: dict[str, Any] = json.JSONDecoder().raw_decode(done.stdout[start:])[0]
        return {**told, "rc": done.returncode, "stderr": done.stderr}

    def shown(self, path: Path | str, *arguments: str) -> str:
        """What a person sees of a playbook."""
        argv = [command("ansible-playbook"), "-i", str(self.inventory), str(ROOT / path), *arguments]
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment(),
            text=True,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        return done.stdout + done.stderr
