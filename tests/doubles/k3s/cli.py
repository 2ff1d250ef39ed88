# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line: which command it is, by the first word or by the name that the binary was called by."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

from . import agent, commands, faults, flags, kubectl, log, server
from .settings import gathered
from .version import COMMIT, VERSION

COMMANDS = {
    "etcd-snapshot": commands.etcd_snapshot,
    "secrets-encrypt": commands.secrets_encrypt,
    "token": commands.token,
    "certificate": commands.certificate,
    "kubectl": kubectl.main,
    "crictl": commands.crictl,
    "check-config": commands.check_config,
}


def _note(arguments: list[str]) -> None:
    """Every call, for tests that ask what was on command lines; where the folder of faults is, and nowhere else."""
    with contextlib.suppress(OSError):
        if faults.PATH.parent.is_dir():
            with (faults.PATH.parent / "calls").open("a", encoding="utf-8") as file:
                file.write(json.dumps(arguments) + "\n")


def main() -> None:
    called, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    _note(sys.argv)
    if called in ("kubectl", "crictl"):
        COMMANDS[called](arguments)
        return
    command, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if command in ("--version", "-v"):
        print(f"k3s version {VERSION} ({COMMIT})\ngo version go1.24.6\nThis is a stand-in for tests: it runs no containers.")
    elif command in ("server", "agent"):
        if os.geteuid():
            log.fatal(f"Error: {command} must run as root, or with --rootless")
        # Whatever the caller's mask is: k3s keeps its secrets to itself.
        os.umask(0o022)
        settings, left = gathered(command, rest, flags.SERVER if command == "server" else flags.AGENT)
        if left:
            log.fatal(f"Error: unexpected arguments {left}")
        asyncio.run(server.run(settings) if command == "server" else agent.run(settings))
    elif command in COMMANDS:
        COMMANDS[command](rest)
    else:
        print("NAME:\n   k3s - a stand-in for Kubernetes, small and simple\n\nCOMMANDS:\n   server\n   agent")
        for name in COMMANDS:
            print(f"   {name}")
        if command not in ("help", "--help", "-h"):
            raise SystemExit(1)
