# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The double of a Kubernetes API server behaves as the API is documented to: asked by the official client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError
from kubernetes.stream import stream
from websocket import WebSocketConnectionClosedException, create_connection

from tests.doubles.kubernetes.client import Cluster

Object = dict[str, Any]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make containers")
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "boats.t.example"},
    "spec": {
        "group": "t.example",
        "scope": "Namespaced",
        "names": {"plural": "boats", "kind": "Boat"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["length"],
                                "properties": {
                                    "length": {"type": "integer", "minimum": 1},
                                    "colour": {"type": "string", "default": "white"},
                                    "crew": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "properties": {"name": {"type": "string"}, "rank": {"type": "string"}},
                                        },
                                    },
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.start(tmp_path_factory.mktemp("cluster"), name="t") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(cluster.kubeconfig)) as api:
        yield api


@pytest.fixture(scope="module")
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture
def namespace(core: client.CoreV1Api, request: pytest.FixtureRequest) -> Iterator[str]:
    name = "t-" + request.node.name.replace("_", "-").split("[")[0].lower()[-50:].strip("-")
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


def until(said: Callable[[], Any], seconds: float = 20) -> Any:
    """What is said at last; AssertionError when nothing true is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = said()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it never came")


def settled(core: client.CoreV1Api, namespace: str) -> None:
    until(lambda: len(core.list_namespaced_config_map(namespace).items) == 1)


def refusal(call: Callable[[], Any], code: int) -> Object:
    with pytest.raises(ApiException) as raised:
        call()
    assert raised.value.status == code
    status = json.loads(raised.value.body)
    assert status["kind"] == "Status" and status["status"] == "Failure" and status["code"] == code
    return dict(status)


def deployment(replicas: int | None = 1, image: str = "app:1") -> Object:
    spec: Object = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}]}]},
        },
    }
    spec.update({} if replicas is None else {"replicas": replicas})
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def box(command: str, claim: str = "", image: str = "busybox:1.37") -> Object:
    container: Object = {"name": "box", "image": image, "command": ["sh", "-c", command]}
    spec: Object = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    if claim:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "box"}, "spec": spec}


def running(core: client.CoreV1Api, namespace: str, name: str = "box") -> None:
    until(lambda: core.read_namespaced_pod(name, namespace).status.phase == "Running")


def run(core: client.CoreV1Api, namespace: str, command: str) -> tuple[str, str, int]:
    """``(stdout, stderr, exit code)``."""
    answer = stream(
        *(core.connect_get_namespaced_pod_exec, "box", namespace),
        **{"command": ["sh", "-c", command], "stdout": True, "stderr": True, "_preload_content": False},
    )
    answer.run_forever(timeout=20)
    return answer.read_stdout(), answer.read_stderr(), answer.returncode


def test_an_object_has_what_the_server_gives_it(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, {"metadata": {"generateName": "c-"}, "data": {"a": "1"}})
    assert made.metadata.name.startswith("c-") and made.metadata.uid and made.metadata.creation_timestamp
    again = {"metadata": {"name": made.metadata.name}}
    assert refusal(lambda: core.create_namespaced_config_map(namespace, again), 409)["reason"] == "AlreadyExists"
    old = made.metadata.resource_version
    changed = core.patch_namespaced_config_map(made.metadata.name, namespace, {"data": {"b": "2"}})
    assert changed.data == {"a": "1", "b": "2"} and int(changed.metadata.resource_version) > int(old)
    same = core.patch_namespaced_config_map(made.metadata.name, namespace, {"data": {"b": "2"}})
    assert same.metadata.resource_version == changed.metadata.resource_version
    assert refusal(lambda: core.replace_namespaced_config_map(made.metadata.name, namespace, made), 409)["reason"] == "Conflict"


def test_what_is_wrong_is_refused_in_the_words_of_the_api(core: client.CoreV1Api, api: client.ApiClient, namespace: str) -> None:
    bad = refusal(lambda: core.create_namespaced_config_map(namespace, {"metadata": {"name": "Not_Good"}}), 422)
    assert bad["reason"] == "Invalid" and bad["details"]["causes"][0]["field"] == "metadata.name"
    gone = refusal(lambda: core.create_namespaced_config_map("t-nowhere", {"metadata": {"name": "a"}}), 404)
    assert gone["message"] == 'namespaces "t-nowhere" not found'
    large = {"metadata": {"name": "large"}, "data": {"a": "x" * (4 << 20)}}
    assert refusal(lambda: core.create_namespaced_config_map(namespace, large), 413)["reason"] == "RequestEntityTooLarge"
    wrong = deployment()
    wrong["spec"]["selector"]["matchLabels"] = {"app": "other"}
    apps = client.AppsV1Api(api)
    assert "does not match template" in refusal(lambda: apps.create_namespaced_deployment(namespace, wrong), 422)["message"]
    assert core.create_namespaced_config_map(namespace, {"metadata": {"name": "thought"}}, dry_run="All").metadata.uid
    assert refusal(lambda: core.read_namespaced_config_map("thought", namespace), 404)["reason"] == "NotFound"


def test_lists_are_of_one_moment_and_their_tokens_expire(cluster: Cluster, core: client.CoreV1Api, namespace: str) -> None:
    for number in range(10):
        labels = {"even": str(number % 2 == 0).lower()}
        core.create_namespaced_config_map(namespace, {"metadata": {"name": f"c{number}", "labels": labels}})
    settled_count = len(core.list_namespaced_config_map(namespace).items)
    first = core.list_namespaced_config_map(namespace, limit=4)
    assert first.metadata.remaining_item_count == settled_count - 4
    core.delete_namespaced_config_map("c9", namespace)
    rest = core.list_namespaced_config_map(namespace, limit=100, _continue=first.metadata._continue)
    assert "c9" in [each.metadata.name for each in rest.items] and len(first.items) + len(rest.items) == settled_count
    assert rest.metadata.resource_version == first.metadata.resource_version
    cluster.fault({"expire_continue": True})
    old = refusal(lambda: core.list_namespaced_config_map(namespace, limit=4, _continue=first.metadata._continue), 410)
    assert old["reason"] == "Expired" and old["metadata"]["continue"]
    chosen = core.list_namespaced_config_map(namespace, label_selector="even in (true),!other", field_selector="metadata.name!=c2")
    assert [each.metadata.name for each in chosen.items] == ["c0", "c4", "c6", "c8"]


def test_a_watch_goes_on_from_a_version_or_says_that_it_is_forgotten(
    cluster: Cluster, core: client.CoreV1Api, namespace: str
) -> None:
    settled(core, namespace)
    since = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "a", "labels": {"x": "1"}}})
    core.patch_namespaced_config_map("a", namespace, {"metadata": {"labels": {"x": "2"}}})
    core.delete_namespaced_config_map("a", namespace)

    def seen(**options: Any) -> list[str]:
        heard = watch.Watch().stream(
            core.list_namespaced_config_map,
            namespace,
            resource_version=since,
            timeout_seconds=1,
            allow_watch_bookmarks=True,
            **options,
        )
        return [event["type"] for event in heard]

    assert seen() == ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    # What a selector does not take any more is gone for this watch.
    assert seen(label_selector="x=1") == ["ADDED", "DELETED", "BOOKMARK"]
    cluster.fault({"compact": True})
    with pytest.raises(ApiException) as raised:
        seen()
    assert raised.value.status == 410


def test_server_side_apply_keeps_who_owns_what(api: client.ApiClient, namespace: str) -> None:
    kinds = dynamic.DynamicClient(api).resources.get(api_version="apps/v1", kind="Deployment")

    def apply(body: Object, manager: str, **more: Any) -> Object:
        return dict(kinds.server_side_apply(body=body, namespace=namespace, field_manager=manager, **more).to_dict())

    made = apply(deployment(replicas=2), "one")
    entry = next(each for each in made["metadata"]["managedFields"] if each["manager"] == "one")
    assert entry["operation"] == "Apply"
    containers = entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert containers['k:{"name":"web"}']["f:ports"] == {
        'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}
    }
    with pytest.raises(ConflictError) as raised:
        apply(deployment(replicas=3), "two")
    status = json.loads(raised.value.body)
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.replicas"}
    ]
    assert apply(deployment(replicas=3), "two", force_conflicts=True)["spec"]["replicas"] == 3
    # What nobody applies any more goes; what another owns stays.
    with_label = deployment(replicas=None)
    with_label["metadata"]["labels"] = {"a": "1"}
    assert apply(with_label, "one")["metadata"]["labels"] == {"a": "1"}
    after = apply(deployment(replicas=None), "one")
    assert "labels" not in after["metadata"] and after["spec"]["replicas"] == 3
    version = after["metadata"]["resourceVersion"]
    assert apply(deployment(replicas=None), "one")["metadata"]["resourceVersion"] == version


def test_custom_resources_are_served_pruned_and_validated(api: client.ApiClient, namespace: str) -> None:
    definitions = client.ApiextensionsV1Api(api)
    definitions.create_custom_resource_definition(CRD)
    try:
        boats = dynamic.DynamicClient(api).resources.get(api_version="t.example/v1", kind="Boat")
        boat: Object = {"apiVersion": "t.example/v1", "kind": "Boat", "metadata": {"name": "b"}, "spec": {"length": 3, "wings": 2}}
        made = boats.create(body=boat, namespace=namespace).to_dict()
        assert made["spec"] == {"length": 3, "colour": "white"} and made["metadata"]["generation"] == 1
        wrong = {**boat, "metadata": {"name": "w"}, "spec": {"length": "long"}}
        with pytest.raises(ApiException) as raised:
            boats.create(body=wrong, namespace=namespace)
        assert raised.value.status == 422 and json.loads(raised.value.body)["details"]["causes"][0]["field"] == "spec.length"
        told = boats.status.patch(
            body={"status": {"afloat": True}}, name="b", namespace=namespace, content_type="application/merge-patch+json"
        ).to_dict()
        assert told["status"] == {"afloat": True} and told["metadata"]["generation"] == 1
        for manager, name in (("one", "anna"), ("two", "bert")):
            crew = {**boat, "spec": {"crew": [{"name": name}], **({"length": 3} if manager == "one" else {})}}
            boats.server_side_apply(body=crew, namespace=namespace, field_manager=manager)
        assert [each.name for each in boats.get(name="b", namespace=namespace).spec.crew] == ["anna", "bert"]
    finally:
        definitions.delete_custom_resource_definition("boats.t.example")
    with pytest.raises(ApiException) as raised:
        client.CustomObjectsApi(api).list_namespaced_custom_object("t.example", "v1", namespace, "boats")
    assert raised.value.status == 404


def test_deletion_waits_for_finalizers_and_takes_dependents_along(core: client.CoreV1Api, namespace: str) -> None:
    owner = core.create_namespaced_config_map(namespace, {"metadata": {"name": "owner", "finalizers": ["t.example/hold"]}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "child", "ownerReferences": [reference]}})
    wrong = {"preconditions": {"uid": "another"}}
    assert refusal(lambda: core.delete_namespaced_config_map("owner", namespace, body=wrong), 409)["reason"] == "Conflict"
    core.delete_namespaced_config_map("owner", namespace)
    held = core.read_namespaced_config_map("owner", namespace)
    assert held.metadata.deletion_timestamp
    core.patch_namespaced_config_map("owner", namespace, {"metadata": {"finalizers": None}})
    left = until(lambda: [each for each in [core.list_namespaced_config_map(namespace).items] if len(each) == 1])
    assert left[0][0].metadata.name == "kube-root-ca.crt"


def test_a_namespace_goes_with_all_that_is_in_it(core: client.CoreV1Api) -> None:
    core.create_namespace({"metadata": {"name": "t-going"}})
    until(lambda: core.list_namespaced_service_account("t-going").items)
    held = {"metadata": {"name": "held", "finalizers": ["t.example/hold"]}}
    core.create_namespaced_config_map("t-going", held)
    core.delete_namespace("t-going")
    assert until(lambda: core.read_namespace("t-going").status.phase) == "Terminating"
    late = refusal(lambda: core.create_namespaced_config_map("t-going", {"metadata": {"name": "late"}}), 403)
    assert late["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    core.patch_namespaced_config_map("held", "t-going", {"metadata": {"finalizers": None}})
    until(lambda: "t-going" not in [each.metadata.name for each in core.list_namespace().items])


def test_token_secrets_are_filled_for_their_account_alone(core: client.CoreV1Api, namespace: str) -> None:
    named = {"name": "token", "annotations": {"kubernetes.io/service-account.name": "default"}}
    made: Object = {"type": "kubernetes.io/service-account-token", "metadata": named}
    until(lambda: core.list_namespaced_service_account(namespace).items)
    core.create_namespaced_secret(namespace, made)
    assert until(lambda: core.read_namespaced_secret("token", namespace).data).keys() == {"token", "ca.crt", "namespace"}
    lost = {**made, "metadata": {"name": "lost", "annotations": {"kubernetes.io/service-account.name": "nobody"}}}
    core.create_namespaced_secret(namespace, lost)
    until(lambda: [each.metadata.name for each in core.list_namespaced_secret(namespace).items] == ["token"])


def test_workloads_come_to_life_and_scale(api: client.ApiClient, core: client.CoreV1Api, namespace: str) -> None:
    apps = client.AppsV1Api(api)
    apps.create_namespaced_deployment(namespace, deployment(replicas=2))
    until(lambda: apps.read_namespaced_deployment("web", namespace).status.ready_replicas == 2)
    service = {"metadata": {"name": "web"}, "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]}}
    made = core.create_namespaced_service(namespace, service)
    assert made.spec.cluster_ip.startswith("10.43.") and made.spec.ports[0].node_port
    until(
        lambda: (
            len((core.read_namespaced_endpoints("web", namespace).subsets or [client.V1EndpointSubset()])[0].addresses or []) == 2
        )
    )
    taken = {
        "metadata": {"name": "w2"},
        "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": made.spec.ports[0].node_port}]},
    }
    assert "already allocated" in refusal(lambda: core.create_namespaced_service(namespace, taken), 422)["message"]
    scale = apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 0}})
    assert scale.spec.replicas == 0
    until(lambda: not core.list_namespaced_pod(namespace).items)


@as_root
def test_pods_run_with_their_volumes(cluster: Cluster, core: client.CoreV1Api, namespace: str) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    core.create_namespaced_persistent_volume_claim(namespace, claim)
    # It waits for its first pod.
    assert core.read_namespaced_persistent_volume_claim("data", namespace).status.phase == "Pending"
    core.create_namespaced_pod(namespace, box("echo begun > /data/log; sleep 600", claim="data"))
    running(core, namespace)
    volume = core.read_namespaced_persistent_volume_claim("data", namespace).spec.volume_name
    until((cluster.volume(volume) / "log").exists)
    assert run(core, namespace, "cat /data/log; echo wrong >&2; exit 7") == ("begun\n", "wrong\n", 7)
    assert [each["pod"] for each in cluster.writers("data") if each["namespace"] == namespace] == ["box"]
    cluster.fault({"disk_full": volume})
    try:
        core.delete_namespaced_pod("box", namespace, grace_period_seconds=0)
        until(lambda: not core.list_namespaced_pod(namespace).items)
        core.create_namespaced_pod(namespace, box("sleep 600", claim="data"))
        running(core, namespace)
        assert "No space left" in run(core, namespace, "dd if=/dev/zero of=/data/more bs=1M count=8")[1]
    finally:
        cluster.fault({})
    assert (cluster.volume(volume) / "log").read_text() == "begun\n"
    cluster.fault({"evict": "box"})
    assert core.read_namespaced_pod("box", namespace).status.reason == "Evicted"
    assert not cluster.writers("data")


@as_root
def test_a_plain_image_has_busybox_alone(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_pod(namespace, box("sleep 600", image="mirror.example/busybox-plain:1.37"))
    running(core, namespace)
    assert run(core, namespace, "ls /bin/busybox; command -v getfattr")[0] == "/bin/busybox\n"


@as_root
def test_bytes_pass_both_ways_and_stdin_ends(cluster: Cluster, core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_pod(namespace, box("sleep 600"))
    running(core, namespace)
    asked = {"command": ["sh", "-c", "head -c 100000 | md5sum"], "stdin": True, "stdout": True, "_preload_content": False}
    answer = stream(core.connect_get_namespaced_pod_exec, "box", namespace, **asked)
    answer.write_stdin("x" * 100000)
    answer.run_forever(timeout=20)
    assert answer.returncode == 0 and len(answer.read_stdout().split()[0]) == 32
    cluster.fault({"drop_exec_after": 50000})
    answer = stream(
        core.connect_get_namespaced_pod_exec, "box", namespace, command=["cat", "/bin/busybox"], stdout=True, _preload_content=False
    )
    with pytest.raises(WebSocketConnectionClosedException):
        answer.run_forever(timeout=20)
    assert len(answer.read_stdout()) <= 50000


@as_root
def test_version_5_tells_that_stdin_has_ended(cluster: Cluster, core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_pod(namespace, box("sleep 600"))
    running(core, namespace)
    path = f"/api/v1/namespaces/{namespace}/pods/box/exec?command=sh&command=-c&command=wc+-c%3B+exit+3&stdin=true&stdout=true&stderr=true"
    certificates = {"ca_certs": str(cluster.folder / "ca.crt"), "certfile": str(cluster.folder / "admin.crt")}
    socket = create_connection(
        cluster.url.replace("https", "wss") + path,
        subprotocols=["v5.channel.k8s.io", "v4.channel.k8s.io"],
        sslopt={**certificates, "keyfile": str(cluster.folder / "admin.key")},
        timeout=20,
    )
    try:
        assert socket.subprotocol == "v5.channel.k8s.io"
        for _each in range(20):
            socket.send_binary(b"\x00" + b"x" * 50000)
        socket.send_binary(b"\xff\x00")
        heard: dict[int, bytes] = {}
        while 3 not in heard:
            message = socket.recv()
            heard[message[0]] = heard.get(message[0], b"") + message[1:]
    finally:
        socket.close()
    assert heard[1].strip() == b"1000000"
    assert json.loads(heard[3])["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not here")
def test_kubectl_applies_reads_and_deletes(cluster: Cluster, namespace: str) -> None:
    def kubectl(*arguments: str, given: str = "") -> str:
        command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace, *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=60).stdout

    kubectl("apply", "--server-side", "--filename", "-", given=json.dumps(deployment(replicas=0)))
    kubectl("apply", "--filename", "-", given=json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}))
    read = yaml.safe_load(kubectl("get", "deployment", "web", "--output", "yaml", "--show-managed-fields"))
    assert read["metadata"]["managedFields"][0]["manager"] == "kubectl"
    kubectl("scale", "deployment", "web", "--replicas", "1")
    kubectl("rollout", "status", "deployment", "web", "--timeout", "20s")
    assert "deleted" in kubectl("delete", "deployment", "web")


def test_faults_are_told_and_taken_away(cluster: Cluster, core: client.CoreV1Api, namespace: str) -> None:
    cluster.fault({"reject": {"kind": "ConfigMap", "name": "unlucky", "times": 1, "code": 503, "message": "not now"}})
    body = {"metadata": {"name": "unlucky"}}
    assert refusal(lambda: core.create_namespaced_config_map(namespace, body), 503)["message"] == "not now"
    assert core.create_namespaced_config_map(namespace, body)
    cluster.fault({"forbid": {"user": "system:admin", "verb": "list", "resource": "secrets"}})
    assert refusal(lambda: core.list_namespaced_secret(namespace), 403)["reason"] == "Forbidden"
    cluster.fault({})
    assert core.list_namespaced_secret(namespace).items == []


def test_users_may_what_their_roles_let_them(cluster: Cluster, api: client.ApiClient) -> None:
    with config.new_client_from_config(str(cluster.restricted)) as mine:
        core = client.CoreV1Api(mine)
        assert core.list_namespaced_config_map("default").items
        told = refusal(lambda: core.list_namespaced_secret("default"), 403)["message"]
        assert (
            told
            == 'secrets is forbidden: User "restricted" cannot list resource "secrets" in API group "" in the namespace "default"'
        )

        def may(verb: str, resource: str) -> bool:
            asked = {"spec": {"resourceAttributes": {"verb": verb, "resource": resource, "namespace": "default"}}}
            return bool(client.AuthorizationV1Api(mine).create_self_subject_access_review(asked).status.allowed)

        assert may("get", "pods") and not may("create", "pods")
        mine.configuration.refresh_api_key_hook = None
        mine.configuration.api_key = {"authorization": "Bearer nonsense", "BearerToken": "Bearer nonsense"}
        assert refusal(core.list_namespace, 401)["reason"] == "Unauthorized"


def test_what_it_knew_is_there_after_a_restart_and_a_kill(tmp_path: Path) -> None:
    cluster = Cluster.start(tmp_path / "c", name="r", controllers=False)
    with cluster, config.new_client_from_config(str(cluster.kubeconfig)) as api:
        uid = client.CoreV1Api(api).create_namespace({"metadata": {"name": "t-kept"}}).metadata.uid
        cluster.restart()
        assert client.CoreV1Api(api).read_namespace("t-kept").metadata.uid == uid
        client.CoreV1Api(api).create_namespaced_config_map("t-kept", {"metadata": {"name": "late"}})
        cluster.kill()
        cluster.restart()
        assert client.CoreV1Api(api).read_namespaced_config_map("late", "t-kept")
