# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server answers beside the API: certificates and configuration for those who join, tokens, encryption, snapshots."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from ..kubernetes.http import Request, Response
from . import pki, snapshots, tokens
from .datastore import NoQuorum
from .paths import Layout, write

if TYPE_CHECKING:
    from .server import Server

Object = dict[str, Any]
HASH = "k3s.io/encryption-config-hash"
_FILES = ("tls/server-ca", "tls/client-ca", "tls/request-header-ca", "tls/etcd/server-ca", "tls/etcd/peer-ca")


class Refused(Exception):
    """Said to who asked, with a code."""

    def __init__(self, message: str, code: int = 400) -> None:
        super().__init__(message)
        self.code = code


def bootstrap_files(layout: Layout) -> dict[str, str]:
    """What a new server needs of an old one: authorities with their keys, passwords, keys of encryption."""
    paths = [f"{name}.{end}" for name in _FILES for end in ("crt", "key")] + ["cred/passwd", "cred/encryption-config.json"]
    return {path: (layout.server / path).read_text(encoding="utf-8") for path in paths if (layout.server / path).exists()}


def write_bootstrap(layout: Layout, files: dict[str, str]) -> None:
    for path, content in files.items():
        write(layout.server / path, content, 0o644 if path.endswith(".crt") else 0o600)


def read_passwords(layout: Layout) -> dict[str, str]:
    """User to password: ``node`` and ``server``."""
    found = {}
    for line in layout.passwords.read_text(encoding="utf-8").splitlines():
        password, user, *_rest = line.split(",")
        found[user] = password
    return found


def write_passwords(layout: Layout, server: str, node: str) -> None:
    write(layout.passwords, f"{server},server,server,k3s:server\n{node},node,node,k3s:agent\n")


# Encryption of Secrets: which keys there are, and how far a rotation is. What it would do to bytes on disk is not played.


def new_encryption(enabled: bool = True) -> Object:
    return {"enabled": enabled, "stage": "start", "keys": [_new_key("aescbckey")]}


def _new_key(name: str) -> Object:
    return {"name": name, "secret": base64.b64encode(secrets.token_bytes(32)).decode()}


def encryption_hash(encryption: Object) -> str:
    kept = json.dumps([encryption["enabled"], encryption["keys"]])
    return f"{encryption['stage']}-{hashlib.sha256(kept.encode()).hexdigest()}"


class Supervisor:
    """Of one server."""

    def __init__(self, server: Server) -> None:
        self._server, self._layout = server, server.layout

    async def answer(self, request: Request, user: str) -> Response:
        """``user`` is ``node`` or ``server``: whose password came with the request."""
        what = request.path[len("/v1-k3s/") :].replace("/", "_").replace("-", "_").replace(".", "_")
        own = "server_bootstrap token encrypt_status encrypt_config db_snapshot db_join".split()
        handler = getattr(self, f"_{what}", None)
        if handler is None or (what in own and user != "server"):
            return _status(403 if handler else 404, "forbidden" if handler else "not found")
        try:
            answer = await handler(request)
        except Refused as error:
            return _status(error.code, str(error))
        except NoQuorum as error:
            return _status(500, str(error))
        return answer if isinstance(answer, Response) else Response(answer)

    def _authority(self, name: str) -> Response:
        return Response((self._layout.tls / f"{name}.crt").read_bytes(), content_type="text/plain")

    async def _server_ca_crt(self, _request: Request) -> Response:
        return self._authority("server-ca")

    async def _client_ca_crt(self, _request: Request) -> Response:
        return self._authority("client-ca")

    async def _config(self, _request: Request) -> Object:
        return self._server.critical()

    async def _apiservers(self, _request: Request) -> list[str]:
        members = [member["address"] for member in self._server.datastore.state["members"]]
        return [f"{address}:6443" for address in members or [self._server.address]]

    async def _readyz(self, _request: Request) -> Response:
        if not self._server.datastore.available():
            raise Refused("runtime core not ready", 503)
        return Response(b"ok", content_type="text/plain")

    async def _node(self, request: Request) -> str:
        """The node's name, when its password is the one that it came with the first time."""
        name = request.headers.get("k3s-node-name", "")
        password = request.headers.get("k3s-node-password", "")
        if not name or not password:
            raise Refused("node name not set" if not name else "node password not set")
        key = f"/secrets/kube-system/{name}.node-password.k3s"
        hashed = hashlib.sha256(password.encode()).hexdigest()
        known = self._server.datastore.state["objects"].get(key)
        if known:
            if base64.b64decode(known["data"]["hash"]).decode() != hashed:
                raise Refused(
                    f"unable to verify password for node {name}: hash does not match; Node password rejected, duplicate hostname or "
                    "contents of '/etc/rancher/node/password' may not match server node-passwd entry, try enabling a unique node "
                    "name with the --with-node-id flag",
                    403,
                )
            return name
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"{name}.node-password.k3s", "namespace": "kube-system"},
            "type": "Opaque",
            "data": {"hash": base64.b64encode(hashed.encode()).decode()},
        }
        await self._server.create("/api/v1/namespaces/kube-system/secrets", secret)
        return name

    async def _client_kubelet_crt(self, request: Request) -> Response:
        name = await self._node(request)
        return self._signed(request, "client-ca", f"/O=system:nodes/CN=system:node:{name}", "extendedKeyUsage=clientAuth\n")

    async def _serving_kubelet_crt(self, request: Request) -> Response:
        name = await self._node(request)
        addresses = [each for each in request.headers.get("k3s-node-ip", "").split(",") if each]
        extensions = "extendedKeyUsage=serverAuth\n" + pki.alternatives([name, "localhost", "127.0.0.1", *addresses])
        return self._signed(request, "server-ca", f"/CN={name}", extensions)

    def _signed(self, request: Request, authority: str, subject: str, extensions: str) -> Response:
        signed = pki.sign(self._layout.tls / authority, request.body, extensions, subject)
        return Response(signed.encode(), content_type="text/plain")

    async def _server_bootstrap(self, _request: Request) -> Object:
        if self._server.datastore.kind != "etcd":
            raise Refused("etcd disabled")
        return bootstrap_files(self._layout)

    async def _db_join(self, request: Request) -> Object:
        """k3s adds the member over etcd's own client port; here a server says it for the one who joins."""
        return await self._server.join_member(request.object())

    async def _token(self, request: Request) -> Object:
        new = (request.object() or {}).get("newToken") or tokens.made()
        try:
            password = tokens.parse(new)[2]
        except tokens.TokenError as error:
            raise Refused(str(error)) from None
        old = read_passwords(self._layout)
        write_passwords(self._layout, password, password if old["node"] == old["server"] else old["node"])
        self._server.write_tokens()
        await self._server.keep_bootstrap()
        return {}

    # Encryption.

    def encryption(self) -> Object | None:
        if not self._layout.encryption.exists():
            return None
        read: Object = json.loads(self._layout.encryption.read_text(encoding="utf-8"))
        return read

    async def _keep_encryption(self, encryption: Object) -> None:
        write(self._layout.encryption, json.dumps(encryption))
        await self._server.keep_bootstrap()
        await self._server.annotate({HASH: encryption_hash(encryption)})

    def _mismatch(self) -> str:
        """Two servers with other keys; empty when all have the same."""
        hashes = {
            key.rsplit("/", 1)[1]: node["metadata"]["annotations"][HASH]
            for key, node in self._server.datastore.state["objects"].items()
            if key.startswith("/nodes//") and HASH in node["metadata"].get("annotations", {})
        }
        first = next(iter(hashes.items()), ("", ""))
        other = next((name for name, value in hashes.items() if value != first[1]), "")
        return f"hash does not match between {first[0]} and {other}" if other else ""

    async def _encrypt_status(self, _request: Request) -> Object:
        encryption = self.encryption()
        if encryption is None:
            return {"stage": "", "activekey": ""}
        mismatch = self._mismatch()
        keys = [f"AES-CBC {key['name']}" for key in encryption["keys"]]
        told = {"stage": encryption["stage"], "activekey": keys[0], "enable": encryption["enabled"], "inactivekeys": keys[1:]}
        return {**told, "hashmatch": not mismatch, "hasherror": mismatch}

    async def _encrypt_config(self, request: Request) -> Object:
        asked, encryption = request.object(), self.encryption()
        if encryption is None:
            raise Refused("secrets encryption is not configured: open /var/lib/rancher/k3s/server/cred/encryption-config.json")
        if asked.get("stage") is None:
            encryption["enabled"] = bool(asked.get("enable"))
            await self._keep_encryption(encryption)
            return {}
        stage, forced = asked["stage"], asked.get("force")
        allowed = {"prepare": ("start", "reencrypt_finished"), "rotate": ("prepare",), "reencrypt_active": ("rotate",)}
        allowed["rotate_keys"] = allowed["prepare"]
        if stage not in allowed:
            raise Refused(f"unknown stage {stage} requested")
        if self._mismatch() and not forced:
            raise Refused(self._mismatch())
        if encryption["stage"] not in allowed[stage] and not forced:
            raise Refused(f"incorrect stage: {encryption['stage']} found on node {self._server.node}")
        keys = encryption["keys"]
        stamped = time.strftime("aescbckey-%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if stage in ("prepare", "rotate_keys"):
            keys.append(_new_key(stamped))
        if stage in ("rotate", "rotate_keys"):
            keys.insert(0, keys.pop())
        if stage == "rotate_keys" or (stage == "reencrypt_active" and not asked.get("skip")):
            keys.pop()
        encryption["stage"] = {"prepare": "prepare", "rotate": "rotate"}.get(stage, "reencrypt_finished")
        await self._keep_encryption(encryption)
        return {}

    async def _db_snapshot(self, request: Request) -> Object:
        if self._server.datastore.kind != "etcd":
            raise Refused(f"etcd database not found in {self._layout.server}")
        asked = request.object()
        return snapshots.save(
            self._layout, self._server.datastore.state, asked["name"], asked["dir"], asked["compress"], self._server.node
        )


def _status(code: int, message: str) -> Response:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code}
    return Response(body, code)
