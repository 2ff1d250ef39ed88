# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The other commands of k3s, which ask the server that runs on this machine, or look at its files."""

from __future__ import annotations

import json
import socket
from typing import Any

from . import faults, flags, log, pki, snapshots, web
from .paths import Layout
from .settings import Settings, from_flags, gathered
from .tokens import TokenError

_COMMON = dict.fromkeys("data-dir token server kubeconfig node-name".split(), "value")


def _supervisor(settings: Settings) -> web.Supervisor:
    layout = Layout(settings.one("data-dir"))
    server = settings.one("server", "https://127.0.0.1:6443")
    try:
        token = settings.one("token") or layout.token.read_text(encoding="utf-8").strip()
        return web.Supervisor(server, token, "server", layout.server / "tls" / "server-ca.crt")
    except OSError as error:
        return log.fatal(f"Error: {error}")
    except (web.WebError, TokenError) as error:
        return log.fatal(f"Error: {error}")


def _told(arguments: list[str], more: dict[str, str]) -> tuple[Settings, list[str]]:
    """These commands do not read the configuration file."""
    kinds = {**_COMMON, **more}
    values, rest = from_flags(arguments, kinds)
    return Settings(values), rest


def token(arguments: list[str]) -> None:
    command = arguments[0] if arguments else ""
    settings, _rest = _told(arguments[1:], {"new-token": "value"})
    if command != "rotate":
        log.fatal(f"Error: this stand-in does not play 'k3s token {command}'")
    print(
        "\033[33mWARNING\033[0m: Recommended to keep a record of the old token. If restoring from a snapshot, "
        "you must use the token associated with that snapshot."
    )
    try:
        _supervisor(settings).put("/v1-k3s/token", {"newToken": settings.one("new-token")})
    except web.WebError as error:
        log.fatal(f"Error: {error}")
    print("Token rotated, restart k3s nodes with new token")


_ENCRYPT: dict[str, tuple[dict[str, Any], str]] = {
    "enable": ({"enable": True}, "secrets-encryption enabled"),
    "disable": ({"enable": False}, "secrets-encryption disabled"),
    "prepare": ({"stage": "prepare"}, "prepare completed successfully"),
    "rotate": ({"stage": "rotate"}, "rotate completed successfully"),
    "reencrypt": ({"stage": "reencrypt_active"}, "reencryption started"),
    "rotate-keys": ({"stage": "rotate_keys"}, "keys rotated, reencryption started"),
}


def secrets_encrypt(arguments: list[str]) -> None:
    command = arguments[0] if arguments else ""
    settings, _rest = _told(arguments[1:], {"output": "value", "o": "value", "force": "switch", "f": "switch", "skip": "switch"})
    supervisor = _supervisor(settings)
    try:
        if command == "status":
            _show_encryption(json.loads(supervisor.get("/v1-k3s/encrypt/status")), settings.one("output") or settings.one("o"))
            return
        if command not in _ENCRYPT:
            log.fatal(f"Error: no such command: {command}")
        asked, said = _ENCRYPT[command]
        forced = settings.on("force") if settings.one("force") else bool(settings.one("f"))
        supervisor.put("/v1-k3s/encrypt/config", {**asked, "force": forced, "skip": settings.one("skip") == "true"})
        print(said)
    except web.WebError as error:
        log.fatal(f"Error: see server log for details: {error}")


def _show_encryption(status: dict[str, Any], output: str) -> None:
    if output.lower() == "json":
        print(json.dumps(status, indent="\t"))
        return
    if "enable" not in status:
        print("Encryption Status: Disabled, no configuration file found")
        return
    print(f"Encryption Status: {'Enabled' if status['enable'] else 'Disabled'}")
    print(f"Current Rotation Stage: {status['stage']}")
    print(f"Server Encryption Hashes: {'All hashes match' if status['hashmatch'] else status['hasherror']}")
    print("\nActive  Key Type  Name\n------  --------  ----")
    for mark, key in [(" *    ", status["activekey"]), *(("      ", key) for key in status["inactivekeys"])]:
        kind, name = key.split(" ", 1)
        print(f"{mark}  {kind:<8}  {name}")
    print()


def certificate(arguments: list[str]) -> None:
    command = arguments[0] if arguments else ""
    settings, _rest = _told(arguments[1:], {"service": "list", "s": "list", "output": "value", "o": "value"})
    layout = Layout(settings.one("data-dir"))
    if command == "check":
        _check_certificates(layout, settings.one("output") or settings.one("o") or "text")
    elif command == "rotate":
        backup = pki.rotate(layout, set(settings.many("service") + settings.many("s")))
        log.info(f"Successfully backed up certificates to {backup}, please restart k3s server or agent to rotate certificates")
    else:
        log.fatal(f"Error: this stand-in does not play 'k3s certificate {command}'")


def _check_certificates(layout: Layout, output: str) -> None:
    found = [path for path in sorted([*layout.tls.rglob("*.crt"), *layout.agent.glob("*.crt")]) if "joined" not in path.name]
    rows = [(path.name, *pki.details(path)) for path in found]
    log.info(f"{'Server' if layout.server.exists() else 'Agent'} detected, checking certificates")
    if output == "json":
        told = [{"Filename": name, "Subject": subject, "ExpiryTime": end, "Status": "OK"} for name, subject, end in rows]
        print(json.dumps({"Certificates": told}))
        return
    if output == "table":
        print("\nFILENAME   SUBJECT   EXPIRES   STATUS\n--------   -------   -------   ------")
        for name, subject, end in rows:
            print(f"{name}   {subject}   {end}   OK")
        return
    for name, subject, end in rows:
        log.info(f"{name}: certificate {subject} is ok, expires at {end}")


def etcd_snapshot(arguments: list[str]) -> None:
    commands = ("save", "ls", "list", "l", "delete", "prune")
    command = next((argument for argument in arguments if argument in commands), "save")
    left = [argument for argument in arguments if argument != command]
    settings, rest = gathered("etcd-snapshot", left, flags.SNAPSHOT)
    layout = Layout(settings.one("data-dir"))
    folder = settings.one("etcd-snapshot-dir") or settings.one("dir")
    if command in ("ls", "list", "l"):
        _list_snapshots(layout, folder, settings.one("output"))
    elif command == "delete":
        if not rest:
            log.fatal("Error: no snapshots given for removal")
        known = {path.name: path for path in snapshots.listed(layout, folder)}
        for name in rest:
            if name not in known:
                log.fatal(f"Error: snapshot {name} not found")
            known[name].unlink()
            log.info(f"Snapshot {name} deleted.")
    elif command == "prune":
        keep = settings.one("snapshot-retention") or settings.one("etcd-snapshot-retention", "5")
        for name in snapshots.prune(layout, folder, settings.one("name", "on-demand"), int(keep)):
            log.info(f"Snapshot {name} deleted.")
    else:
        _save_snapshot(settings, folder)


def _save_snapshot(settings: Settings, folder: str) -> None:
    if faults.told("snapshot"):
        log.fatal("Error: failed to save snapshot: this stand-in was told to fail")
    compress = settings.one("etcd-snapshot-compress") == "true" or settings.one("compress") == "true"
    asked = {"name": settings.one("name", "on-demand"), "dir": folder, "compress": compress}
    local = Settings({"data-dir": settings.one("data-dir")})
    try:
        told = json.loads(_supervisor(local).get("/v1-k3s/db/snapshot", json.dumps(asked).encode()))
    except web.WebError as error:
        log.fatal(f"Error: see server log for details: {error}")
    if settings.one("etcd-s3") == "true" or settings.one("s3") == "true":
        log.warn("S3 is not played by this stand-in: the snapshot is local only")
    log.info(f"Snapshot {told['name']} saved.")


def _list_snapshots(layout: Layout, folder: str, output: str) -> None:
    found = snapshots.listed(layout, folder)
    if output == "json":
        node = socket.gethostname()
        items = [
            {
                "metadata": {"name": f"local-{path.name}"},
                "spec": {"snapshotName": path.name, "nodeName": node, "location": f"file://{path}"},
                "status": {"size": str(path.stat().st_size), "creationTime": snapshots.created(path), "readyToUse": True},
            }
            for path in found
        ]
        print(json.dumps({"kind": "List", "items": items}))
        return
    print("Name Location Size Created")
    for path in found:
        print(f"{path.name} file://{path} {path.stat().st_size} {snapshots.created(path)}")


def crictl(arguments: list[str]) -> None:
    """``images`` tells what was imported from airgap archives; ``ps`` and ``pods`` have nothing to tell."""
    layout = Layout()
    names = [path.name for path in sorted(layout.agent.glob("images/*.tar*"))]
    if "images" in arguments:
        if "json" in arguments:
            print(json.dumps({"images": [{"repoTags": [f"docker.io/airgap/{name}:imported"]} for name in names]}))
            return
        print("IMAGE TAG IMAGE ID SIZE")
        for name in names:
            print(f"docker.io/airgap/{name} imported 0000000000000 0B")
    elif "info" in arguments:
        print(json.dumps({"status": {"conditions": [{"type": "RuntimeReady", "status": True}]}}))
    else:
        print("CONTAINER IMAGE CREATED STATE NAME ATTEMPT POD ID POD")


def check_config(_arguments: list[str]) -> None:
    print(f"\nVerifying binaries in {Layout().data}/data/current/bin:\n- sha256sum: good\n- links: good\n\nSTATUS: pass")
