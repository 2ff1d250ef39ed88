# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The back end of clusters against an API server: over HTTP and TLS, with the faults that a real one has."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes")

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import ClusterAccess, ClusterApi, Object, Resource
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes import discovery, execution
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.cluster_facts import cluster_facts
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.connection import open_cluster
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.running import V4
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import (
    BackendError,
    ConflictError,
    ExistsError,
    FederationError,
    ForbiddenError,
    NotFoundError,
    UnreachableError,
)

from tests.doubles.kubernetes.client import Cluster

MANAGER = "virt8ra-federation"
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)
SECRETS = Resource("", "v1", "Secret", "secrets", namespaced=True)
PODS = Resource("", "v1", "Pod", "pods", namespaced=True)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make containers")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.start(tmp_path_factory.mktemp("cluster"), name="es") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[ClusterApi]:
    api = open_cluster(ClusterAccess(str(cluster.kubeconfig), patience=30))
    yield api
    api.close()


@pytest.fixture(autouse=True)
def no_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "cluster" in request.fixturenames:
        # A server that was told to be away listens to nobody until it is back.
        deadline = time.monotonic() + 60
        while True:
            try:
                request.getfixturevalue("cluster").fault({})
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


@pytest.fixture(scope="module")
def namespace(api: ClusterApi) -> str:
    api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "t"}})
    return "t"


_numbers = itertools.count(1)


def config_map(name: str = "", **data: str) -> Object:
    metadata = {"name": name or f"c-{next(_numbers)}", "namespace": "t", "labels": {"t": "t"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def until(said: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = said()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it never came")


# Opening


def test_a_cluster_that_answers(api: ClusterApi, cluster: Cluster) -> None:
    assert (api.name, api.server) == ("es", cluster.url)
    assert api.version() == {"major": "1", "minor": "36", "gitVersion": "v1.36.0"}
    found = api.get(NAMESPACES, "kube-system")
    assert found is not None and api.uid() == found["metadata"]["uid"]


def edited(cluster: Cluster, folder: Path, change: Callable[[dict[str, Any]], None]) -> ClusterAccess:
    document = json.loads(cluster.kubeconfig.read_text())
    change(document)
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document))
    return ClusterAccess(str(path), patience=1, option="target_kubeconfig")


def told(access: ClusterAccess) -> str:
    with pytest.raises(FederationError) as error:
        open_cluster(access)
    said = str(error.value)
    assert said.startswith(f"target_kubeconfig={access.kubeconfig!r}: ") and "\n" not in said
    return said


def test_an_authority_that_is_not_the_servers(cluster: Cluster, tmp_path: Path) -> None:
    with Cluster.start(tmp_path / "other", name="other", controllers=False) as other:
        wrong = base64.b64encode((other.folder / "ca.crt").read_bytes()).decode()
        access = edited(cluster, tmp_path, lambda d: d["clusters"][0]["cluster"].update({"certificate-authority-data": wrong}))
        began = time.monotonic()
        assert "is not of the authority that the kubeconfig trusts" in told(access)
        assert time.monotonic() - began < 10


def test_a_name_that_is_not_the_certificates(cluster: Cluster, tmp_path: Path) -> None:
    access = edited(cluster, tmp_path, lambda d: d["clusters"][0]["cluster"].update({"tls-server-name": "elsewhere.example"}))
    assert "is for another name; reach it by a name of its certificate" in told(access)
    access = edited(cluster, tmp_path, lambda d: d["clusters"][0]["cluster"].update({"tls-server-name": "kubernetes"}))
    open_cluster(access).close()


def test_a_server_that_speaks_no_tls(cluster: Cluster, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        port = plain.getsockname()[1]

        def answer() -> None:
            with plain.accept()[0] as line:
                line.recv(1000)
                line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        access = edited(cluster, tmp_path, lambda d: d["clusters"][0]["cluster"].update(server=f"https://127.0.0.1:{port}"))
        assert "does not speak TLS" in told(access)


def test_a_server_that_is_not_there(cluster: Cluster, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    access = edited(cluster, tmp_path, lambda d: d["clusters"][0]["cluster"].update(server=f"https://127.0.0.1:{port}"))
    said = told(access)
    assert f"the cluster at https://127.0.0.1:{port} cannot be reached (Connection refused), tried for 1 s" in said


def test_credentials_that_are_not_accepted(cluster: Cluster, tmp_path: Path) -> None:
    access = edited(cluster, tmp_path, lambda d: d["users"][0].update(user={"token": "hunter2"}))
    said = told(access)
    assert "does not accept its credentials (401)" in said and "hunter2" not in said


def test_a_server_whose_certificate_is_not_checked(cluster: Cluster, tmp_path: Path) -> None:
    def trusting(document: dict[str, Any]) -> None:
        document["clusters"][0]["cluster"] = {"server": cluster.url, "insecure-skip-tls-verify": True}

    open_cluster(edited(cluster, tmp_path, trusting)).close()


def test_a_forbidden_verb_is_named(cluster: Cluster, namespace: str) -> None:
    api = open_cluster(ClusterAccess(str(cluster.restricted)))
    with pytest.raises(ForbiddenError) as error:
        api.apply(CONFIG_MAPS, config_map("x"), manager=MANAGER)
    assert "this user may not patch configmaps x in namespace t" in str(error.value)
    with pytest.raises(ForbiddenError, match="may not list secrets"):
        list(api.each(SECRETS))
    assert api.allowed("list", CONFIG_MAPS) and not api.allowed("create", CONFIG_MAPS, "t") and not api.allowed("get", SECRETS)
    api.close()


# Discovery


@pytest.mark.parametrize("accept", [discovery._AGGREGATED, "application/json"])
def test_kinds(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, accept: str) -> None:
    monkeypatch.setattr(discovery, "_AGGREGATED", accept)
    api = open_cluster(ClusterAccess(str(cluster.kubeconfig)))
    found = api.resource("apps/v1", "Deployment")
    assert found is not None and found.name == "deployments.apps" and found.namespaced and found.preferred
    assert {"status", "scale"} <= found.subresources and {"list", "patch"} <= found.verbs
    node = api.resource("v1", "Node")
    assert node is not None and not node.namespaced and node.api_version == "v1"
    assert api.resource("t.example/v1", "Boat") is None
    assert getattr(api, "silent", None) == ()
    api.close()


def test_a_kind_that_was_just_made_is_found(api: ClusterApi) -> None:
    assert api.resource("late.example/v1", "Late") is None
    crds = api.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert crds is not None
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    names = {"plural": "lates", "kind": "Late"}
    spec = {"group": "late.example", "scope": "Cluster", "names": names, "versions": [version]}
    body = {"apiVersion": crds.api_version, "kind": crds.kind, "metadata": {"name": "lates.late.example"}, "spec": spec}
    api.apply(crds, body, manager=MANAGER)
    late = until(lambda: api.resource("late.example/v1", "Late"))
    api.apply(late, {"apiVersion": "late.example/v1", "kind": "Late", "metadata": {"name": "x"}}, manager=MANAGER)
    assert [each["metadata"]["name"] for each in api.each(late)] == ["x"]
    assert api.delete(late, "x") and not api.delete(late, "x")
    assert api.delete(crds, "lates.late.example")


def test_a_name_with_a_colon(api: ClusterApi) -> None:
    roles = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
    body = {"apiVersion": roles.api_version, "kind": roles.kind, "metadata": {"name": "t:reader"}, "rules": []}
    api.apply(roles, body, manager=MANAGER)
    assert (api.get(roles, "t:reader") or {})["metadata"]["name"] == "t:reader" and api.delete(roles, "t:reader")


# Objects


def test_lists_are_whole_though_their_pages_expire(api: ClusterApi, cluster: Cluster, namespace: str) -> None:
    names = {f"page-{number:04}" for number in range(1203)}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: api.apply(CONFIG_MAPS, config_map(name), manager=MANAGER), names))
    before = cluster.requests().get("list configmaps", 0)
    seen = []
    for each in api.each(CONFIG_MAPS, "t", labels="t=t"):
        assert (each["apiVersion"], each["kind"]) == ("v1", "ConfigMap")
        seen.append(each["metadata"]["name"])
        if len(seen) == 600:
            cluster.fault({"expire_continue": True})
    assert len(seen) == len(set(seen)) and names <= set(seen)
    assert cluster.requests()["list configmaps"] - before >= 5
    one = list(api.each(CONFIG_MAPS, fields="metadata.name=page-0007"))
    assert [each["metadata"]["name"] for each in one] == ["page-0007"]


def test_creating_reading_changing_removing(api: ClusterApi, namespace: str) -> None:
    assert api.get(CONFIG_MAPS, "none", "t") is None
    api.create(CONFIG_MAPS, config_map("dry"), dry_run=True)
    assert api.get(CONFIG_MAPS, "dry", "t") is None
    made = api.create(CONFIG_MAPS, config_map("one", a="1"))
    with pytest.raises(ExistsError, match="create configmaps one in namespace t: there is one already"):
        api.create(CONFIG_MAPS, config_map("one"))
    changed = api.patch(CONFIG_MAPS, "one", "t", {"data": {"b": "2"}}, manager=MANAGER)
    assert changed["data"] == {"a": "1", "b": "2"}
    assert MANAGER in {each["manager"] for each in changed["metadata"]["managedFields"]}
    api.patch(CONFIG_MAPS, "one", "t", [{"op": "remove", "path": "/data/a"}], kind="json")
    with pytest.raises(ConflictError, match="update configmaps one"):
        api.replace(CONFIG_MAPS, {**made, "data": {}})
    with pytest.raises(NotFoundError):
        api.patch(CONFIG_MAPS, "none", "t", {"data": {}})
    with pytest.raises(ConflictError):
        api.delete(CONFIG_MAPS, "one", "t", uid="of another")
    assert api.delete(CONFIG_MAPS, "one", "t", uid=made["metadata"]["uid"])
    assert not api.delete(CONFIG_MAPS, "one", "t")


def test_owners_of_fields(api: ClusterApi, namespace: str) -> None:
    api.apply(CONFIG_MAPS, config_map("owned", a="1"), manager="somebody")
    with pytest.raises(ConflictError) as error:
        api.apply(CONFIG_MAPS, config_map("owned", a="2"), manager=MANAGER)
    assert error.value.details == {"conflicts": [{"manager": "somebody", "field": ".data.a"}]}
    assert api.apply(CONFIG_MAPS, config_map("owned", a="2"), manager=MANAGER, force=True)["data"] == {"a": "2"}
    assert api.apply(CONFIG_MAPS, config_map("owned", a="3"), manager=MANAGER, dry_run=True)["data"] == {"a": "3"}
    found = api.get(CONFIG_MAPS, "owned", "t")
    assert found is not None and found["data"] == {"a": "2"}


def test_scale(api: ClusterApi, namespace: str) -> None:
    deployments = api.resource("apps/v1", "Deployment")
    assert deployments is not None
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "t"}}
    body["spec"] = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": pod}
    api.apply(deployments, body, manager=MANAGER)
    api.patch(deployments, "d", "t", {"spec": {"replicas": 0}}, subresource="scale", manager=MANAGER)
    found = api.get(deployments, "d", "t")
    assert found is not None and found["spec"]["replicas"] == 0
    api.delete(deployments, "d", "t", propagation="Foreground", grace_seconds=0)


# Patience


@pytest.mark.parametrize(("code", "message"), [(503, ""), (429, ""), (500, "etcdserver: leader changed"), (500, "once"), (504, "")])
def test_what_passes_is_asked_again(api: ClusterApi, cluster: Cluster, namespace: str, code: int, message: str) -> None:
    cluster.fault({"reject": {"kind": "ConfigMap", "name": "again", "times": 2, "code": code, "message": message}})
    assert api.apply(CONFIG_MAPS, config_map("again", a=str(code)), manager=MANAGER)["data"] == {"a": str(code)}


def test_a_creation_is_never_repeated(api: ClusterApi, cluster: Cluster, namespace: str) -> None:
    cluster.fault({"reject": {"kind": "ConfigMap", "name": "once", "times": 1, "code": 503}})
    before = cluster.requests().get("create configmaps", 0)
    with pytest.raises(UnreachableError, match=r"create configmaps once in namespace t: the server was away \(503"):
        api.create(CONFIG_MAPS, config_map("once"))
    assert cluster.requests()["create configmaps"] == before + 1
    cluster.fault({"reject": {"kind": "ConfigMap", "name": "once", "times": 2, "code": 429}})
    api.create(CONFIG_MAPS, config_map("once"))


def test_a_refusal_is_not_asked_again(api: ClusterApi, cluster: Cluster, namespace: str) -> None:
    cluster.fault({"reject": {"kind": "ConfigMap", "name": "bad", "times": -1, "code": 422, "message": "too blue"}})
    before = cluster.requests().get("patch configmaps", 0)
    with pytest.raises(BackendError, match="cluster es: patch configmaps bad in namespace t: too blue"):
        api.apply(CONFIG_MAPS, config_map("bad"), manager=MANAGER)
    assert cluster.requests()["patch configmaps"] == before + 1


def test_a_server_that_is_away_for_a_while(api: ClusterApi, cluster: Cluster, namespace: str) -> None:
    """Sixteen at once, as a migration does it; each is there once in the end."""
    cluster.fault({"down": 3})
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        done = list(pool.map(lambda n: api.apply(CONFIG_MAPS, config_map(f"away-{n}"), manager=MANAGER), range(64)))
    assert {each["metadata"]["name"] for each in done} == {f"away-{number}" for number in range(64)}
    assert len([each for each in api.each(CONFIG_MAPS, "t") if each["metadata"]["name"].startswith("away-")]) == 64


def test_a_server_that_stays_away(cluster: Cluster) -> None:
    api = open_cluster(ClusterAccess(str(cluster.kubeconfig), patience=1))
    cluster.fault({"down": 8})
    with pytest.raises(UnreachableError, match=r"tried for \d+ s; check"):
        until(lambda: api.get(NAMESPACES, "t") and None, 60)
    api.close()
    assert open_cluster(ClusterAccess(str(cluster.kubeconfig), patience=30)).version()["major"] == "1"


def test_closing_ends_the_waiting(cluster: Cluster, tmp_path: Path) -> None:
    with Cluster.start(tmp_path / "c", name="c", controllers=False) as own:
        api = open_cluster(ClusterAccess(str(own.kubeconfig), patience=600))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.version)
        with pytest.raises(concurrent.futures.TimeoutError):
            waiting.result(1)
        api.close()
        assert isinstance(waiting.exception(30), UnreachableError)


# Watches


def test_a_watch_tells_what_changes(api: ClusterApi, namespace: str) -> None:
    since = api.create(CONFIG_MAPS, config_map("watched"))["metadata"]["resourceVersion"]
    api.patch(CONFIG_MAPS, "watched", "t", {"data": {"a": "x" * 200_000}})
    api.delete(CONFIG_MAPS, "watched", "t")
    seen = []
    for change in api.watch(CONFIG_MAPS, "t", since=since, fields="metadata.name=watched", seconds=30):
        seen.append((change.kind, len(change.object.get("data", {}).get("a", ""))))
        if change.kind == "DELETED":
            break
    assert seen[0] == ("MODIFIED", 200_000) and seen[-1][0] == "DELETED"


def test_a_watch_ends_by_itself_and_when_its_beginning_is_forgotten(api: ClusterApi, cluster: Cluster, namespace: str) -> None:
    since = api.create(CONFIG_MAPS, config_map())["metadata"]["resourceVersion"]
    began = time.monotonic()
    assert not [each for each in api.watch(CONFIG_MAPS, "t", since=since, seconds=1) if each.kind != "BOOKMARK"]
    assert time.monotonic() - began < 20
    api.create(CONFIG_MAPS, config_map())
    cluster.fault({"compact": True})
    assert not list(api.watch(CONFIG_MAPS, "t", since=since, seconds=30))


# Commands in pods


@pytest.fixture(scope="module")
def pod(api: ClusterApi, namespace: str) -> str:
    container = {"name": "c", "image": "busybox:1.37", "command": ["sleep", "3600"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "t"}, "spec": spec}
    until(lambda: api.get(Resource("", "v1", "ServiceAccount", "serviceaccounts", True), "default", "t"))
    api.create(PODS, body)
    until(lambda: ((api.get(PODS, "p", "t") or {}).get("status") or {}).get("phase") == "Running")
    return "p"


def heard(command: Any) -> bytes:
    pieces = []
    while piece := command.receive():
        pieces.append(piece)
    return b"".join(pieces)


@as_root
def test_a_command_says_how_it_ended(api: ClusterApi, pod: str) -> None:
    command = api.run("t", pod, ["sh", "-c", "echo out; echo err >&2; exit 3"], container="c")
    assert heard(command) == b"out\n"
    assert (command.end().exit_code, command.end().stderr) == (3, "err\n")
    assert api.run("t", pod, ["true"]).end().exit_code == 0
    assert api.run("t", pod, ["sh", "-c", "kill -9 $$"]).end().exit_code == 137
    with pytest.raises(BackendError, match="/none in pod t/p of cluster es could not be run"):
        api.run("t", pod, ["/none"]).end()


@as_root
@pytest.mark.parametrize("version", [5, 4])
def test_bytes_go_both_ways_at_once(api: ClusterApi, pod: str, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    """More than all buffers on the way hold, all that a byte can be, and nobody reads until all is sent."""
    if version == 4:
        monkeypatch.setattr(execution, "V5", V4)
    size, piece = 24 * 2**20, bytes(range(256)) * 4096
    command = api.run("t", pod, ["head", "-c", str(size)], stdin=True)
    for _number in range(size // len(piece)):
        command.send(piece)
    assert command.close_stdin() is (version == 5)
    assert hashlib.sha256(heard(command)).digest() == hashlib.sha256(piece * (size // len(piece))).digest()
    assert command.end().exit_code == 0


@as_root
def test_stdin_ends(api: ClusterApi, pod: str) -> None:
    command = api.run("t", pod, ["wc", "-c"], stdin=True)
    command.send(b"\0" * 1_000_001)
    assert command.close_stdin()
    assert heard(command) == b"1000001\n"


@as_root
def test_a_command_that_is_cut_off_is_lost(api: ClusterApi, cluster: Cluster, pod: str) -> None:
    cluster.fault({"drop_exec_after": 200_000})
    command = api.run("t", pod, ["head", "-c", "2000000", "/dev/zero"])
    with pytest.raises(UnreachableError, match="the connection to head in pod t/p of cluster es was lost"):
        heard(command)


@as_root
def test_a_command_that_nobody_waits_for(api: ClusterApi, pod: str) -> None:
    command = api.run("t", pod, ["cat", "/dev/zero"])
    assert command.receive()
    command.close()
    assert api.run("t", pod, ["true"]).end().exit_code == 0


def test_a_pod_that_is_not_there(api: ClusterApi, cluster: Cluster, namespace: str) -> None:
    with pytest.raises(NotFoundError, match="none in namespace t"):
        api.run("t", "none", ["true"])
    restricted = open_cluster(ClusterAccess(str(cluster.restricted)))
    with pytest.raises(ForbiddenError, match="pods/exec"):
        restricted.run("t", "none", ["true"])
    restricted.close()


def test_facts(api: ClusterApi) -> None:
    facts = cluster_facts(api)
    assert facts["nodes"] and all(node["ready"] and node["capacity"]["memory"] > 0 for node in facts["nodes"])
    assert [each["name"] for each in facts["storage_classes"] if each["default"]]
    assert (facts["distribution"], facts["version"]) == ("other", "v1.36.0") and facts["namespaces"] >= 5


# Through a proxy


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """An HTTP proxy that only tunnels, and what it was asked for."""
    asked: list[str] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def tunnel(line: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += line.recv(1)
        target = head.split()[1].decode()
        asked.append(target)
        host, _colon, port = target.rpartition(":")
        far = socket.create_connection((host, int(port)))
        line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=pump, args=(far, line), daemon=True).start()
        pump(line, far)

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=tunnel, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        # Closing it alone would not wake who waits for the next connection.
        server.shutdown(socket.SHUT_RDWR)


@as_root
def test_requests_and_commands_go_through_the_proxy(
    cluster: Cluster, pod: str, proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = proxy
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HTTPS_PROXY", url)
    through = open_cluster(ClusterAccess(str(cluster.kubeconfig)))
    assert heard(through.run("t", pod, ["echo", "hello"])) == b"hello\n"
    through.close()
    assert asked == [cluster.url.partition("//")[2]] * 2
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,127.0.0.0/8")
    straight = open_cluster(ClusterAccess(str(cluster.kubeconfig)))
    assert heard(straight.run("t", pod, ["echo", "hello"])) == b"hello\n"
    straight.close()
    assert len(asked) == 2
    monkeypatch.delenv("NO_PROXY")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{gone.getsockname()[1]}")
    with pytest.raises(UnreachableError, match=r"proxy does not let us through.*check proxy-url, HTTPS_PROXY and NO_PROXY"):
        open_cluster(ClusterAccess(str(cluster.kubeconfig), patience=0))
