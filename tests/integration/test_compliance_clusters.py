# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clusters that are broken on purpose, each in one way: it is found by its control, and by no other one."""

from __future__ import annotations

import copy
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import yaml

pytest.importorskip("kubernetes")

from tests.doubles.k3s import supervisor
from tests.doubles.k3s.paths import write
from tests.doubles.kubernetes import certificates

from .compliance_lab import measured_controls
from .edge import VERSION, Edge, Findings, event, whole_edge

OLD = "v1.34.1+k3s1"
MEASURED = ("KEY-03", "KEY-04-K", "LOC-01", "LOC-03", "LOC-04-K", "LOG-02", "OPS-05-K")
MEASURED += ("POR-08-K", "SEC-02", "SEC-02-K", "SEC-03-K", "SUP-03-K", "SUP-04-K")

Fault = Callable[["Edge"], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with whole_edge(tmp_path_factory.mktemp("edge")) as edge:
        yield edge


@pytest.fixture(scope="module")
def whole(edge: Edge) -> Findings:
    """What is found while nothing is broken."""
    return edge.findings()


# The faults: each with the control that has to find it. The host's first.


@contextmanager
def encryption_off(edge: Edge) -> Iterator[None]:
    path = edge.server.layout.encryption
    kept = path.read_text(encoding="utf-8")
    write(path, json.dumps({**json.loads(kept), "enabled": False}))
    try:
        yield
    finally:
        write(path, kept)


@contextmanager
def other_keys(edge: Edge) -> Iterator[None]:
    """Two servers have noted on their nodes that their keys are different."""
    nodes = edge.server.datastore.state["objects"]
    kept = dict(nodes)
    for name in ("a", "b"):
        nodes[f"/nodes//{name}"] = {"metadata": {"annotations": {supervisor.HASH: f"start-{name}"}}}
    try:
        yield
    finally:
        nodes.clear()
        nodes.update(kept)


@contextmanager
def old_snapshot(edge: Edge) -> Iterator[None]:
    (path,) = edge.server.layout.snapshots.iterdir()
    name, _dash, stamp = path.stem.rpartition("-")
    old = path.rename(path.with_name(f"{name}-{int(stamp) - 2 * 86400}{path.suffix}"))
    try:
        yield
    finally:
        old.rename(path)


@contextmanager
def no_snapshot(edge: Edge) -> Iterator[None]:
    folder = edge.server.layout.snapshots
    away = folder.rename(folder.with_name("away"))
    try:
        yield
    finally:
        away.rename(folder)


@contextmanager
def silence(edge: Edge) -> Iterator[None]:
    """The API server has written nothing for a day."""
    edge.writes = False
    edge.put("/var/log/audit.log", event(86400))
    try:
        yield
    finally:
        edge.writes = True


def config(old: str, new: str) -> Fault:
    return lambda edge: edge.changed("/etc/rancher/k3s/config.yaml", lambda text: text.replace(old, new))


def drop_in(text: str) -> Fault:
    return lambda edge: edge.changed("/etc/rancher/k3s/config.yaml.d/10.yaml", lambda _text: text)


def file(path: str, text: str) -> Fault:
    return lambda edge: edge.changed(path, lambda _text: text)


def registries(**told: Any) -> Fault:
    return file("/etc/rancher/k3s/registries.yaml", yaml.safe_dump(told))


# The API's.


def objects(*items: dict[str, Any]) -> Fault:
    return lambda edge: edge.objects(*items)


def named(kind: str, version: str, name: str, namespace: str = "", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def pod(image: str, **spec: Any) -> dict[str, Any]:
    return named("Pod", "v1", "p", "default", spec={"containers": [{"name": "c", "image": image}], **spec})


def volume(**source: Any) -> dict[str, Any]:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], **source}
    return named("PersistentVolume", "v1", "far", spec=spec)


def definition(group: str) -> dict[str, Any]:
    names = {"plural": "buckets", "singular": "bucket", "kind": "Bucket", "listKind": "BucketList"}
    schema = {"openAPIV3Schema": {"type": "object"}}
    spec = {"group": group, "scope": "Namespaced", "names": names}
    spec["versions"] = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    return named("CustomResourceDefinition", "apiextensions.k8s.io/v1", f"buckets.{group}", spec=spec)


def kubelet(**changes: Any) -> Fault:
    @contextmanager
    def fault(edge: Edge) -> Iterator[None]:
        path = edge.double.folder / "kubelet.json"
        kept = path.read_text(encoding="utf-8")
        path.write_text(json.dumps({**json.loads(kept), **changes}), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(kept, encoding="utf-8")

    return fault


@contextmanager
def certificate_that_ends(edge: Edge) -> Iterator[None]:
    """The server has one that ends in five days, from the cluster's own authority."""
    folder = edge.double.folder
    kept = {path: path.read_bytes() for path in (folder / "server.crt", folder / "server.key")}
    certificates.issue(folder, "server", "/CN=kube-apiserver", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n", "5")
    edge.double.restart()
    try:
        yield
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
        edge.double.restart()


@contextmanager
def old_branch(edge: Edge) -> Iterator[None]:
    edge.double.restart(version=OLD)
    try:
        yield
    finally:
        edge.double.restart(version=VERSION)


@contextmanager
def old_tls(edge: Edge) -> Iterator[None]:
    edge.double.restart(tls="TLSv1.1")
    try:
        yield
    finally:
        edge.double.restart(tls="TLSv1.2")


@contextmanager
def kubelet_ahead(edge: Edge) -> Iterator[None]:
    """A node whose kubelet is newer than the server, which Kubernetes does not allow."""

    def tell(version: str) -> None:
        status = json.dumps({"status": {"nodeInfo": {"kubeletVersion": version}}})
        edge.kubectl.run("patch", "node", "node-1", "--subresource=status", "--type=merge", "-p", status)

    tell("v1.37.0+k3s1")
    try:
        yield
    finally:
        tell(VERSION)


# The federation's.


@contextmanager
def elsewhere(edge: Edge) -> Iterator[None]:
    kept = copy.deepcopy(edge.sites)
    edge.sites[0]["country"] = "US"
    try:
        yield
    finally:
        edge.sites = kept


@contextmanager
def too_near(edge: Edge) -> Iterator[None]:
    """Light itself would take longer to where the site is declared to be."""
    kept = edge.trips
    edge.trips = {**kept, "baden": 2.0}
    try:
        yield
    finally:
        edge.trips = kept


AWS = named("StorageClass", "storage.k8s.io/v1", "gp3", provisioner="ebs.csi.aws.com")
CSI = {"csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"}}
MIRROR = "https://mirror.example.eu"
FAULTS: dict[str, tuple[str, Fault]] = {
    "secrets are not encrypted": ("KEY-03", encryption_off),
    "servers have different keys": ("KEY-03", other_keys),
    "no audit policy": ("LOG-02", config("audit-policy-file", "other-file")),
    "no audit log": ("LOG-02", config("audit-log-path=/var/log/audit.log", "audit-log-path=/var/log/none.log")),
    "an audit log that is kept for a week": ("LOG-02", config("audit-log-maxage=30", "audit-log-maxage=7")),
    "an audit log that says nothing": ("LOG-02", file("/etc/rancher/k3s/audit.yaml", "rules: [{level: None}]\n")),
    "an audit log that has stopped": ("LOG-02", silence),
    "an old snapshot": ("OPS-05-K", old_snapshot),
    "no snapshot": ("OPS-05-K", no_snapshot),
    "defaults of the kernel are not protected": ("SEC-02-K", config("protect-kernel-defaults: true", "disable: [traefik]")),
    "a kubeconfig for all": ("SEC-02-K", config("0600", "0644")),
    "anybody may ask": ("SEC-02-K", drop_in("kube-apiserver-arg+: [anonymous-auth=true]\n")),
    "no network policies": ("SEC-02-K", drop_in("disable-network-policy: true\n")),
    "an undeclared mirror": ("SUP-03-K", registries(mirrors={"docker.io": {"endpoint": ["https://mirror.example.com"]}})),
    "a mirror without TLS": ("SUP-03-K", registries(mirrors={"docker.io": {"endpoint": ["http://mirror.example.eu"]}})),
    "a mirror that nobody checks": (
        "SUP-03-K",
        registries(mirrors={"docker.io": {"endpoint": [MIRROR]}}, configs={MIRROR[8:]: {"tls": {"insecure_skip_verify": True}}}),
    ),
    "a certificate that ends": ("KEY-04-K", certificate_that_ends),
    "an old version of TLS": ("KEY-04-K", old_tls),
    "a volume on NFS elsewhere": ("LOC-04-K", objects(volume(nfs={"server": "nfs.example.com", "path": "/srv"}))),
    "a volume of a driver that nobody declared": ("LOC-04-K", objects(volume(**CSI))),
    "one provider's storage class": ("POR-08-K", objects(AWS)),
    "one provider's resources": ("POR-08-K", objects(definition("s3.services.k8s.aws"))),
    "kubelets that anybody may ask": ("SEC-02", kubelet(authentication={"anonymous": {"enabled": True}})),
    "kubelets that allow all": ("SEC-02", kubelet(authorization={"mode": "AlwaysAllow"})),
    "a kubelet with the read-only port": ("SEC-02", kubelet(readOnlyPort=10255)),
    "a namespace without a level": ("SEC-02", objects(named("Namespace", "v1", "open"))),
    "a pod on the host's network": ("SEC-02", objects(pod("docker.io/library/nginx:1", hostNetwork=True))),
    "a branch that has ended": ("SEC-03-K", old_branch),
    "a kubelet that is newer than the server": ("SEC-03-K", kubelet_ahead),
    "an image from an undeclared registry": ("SUP-04-K", objects(pod("quay.io/x/y:1"))),
    "a site in a country that is not allowed": ("LOC-01", elsewhere),
    "a site that cannot be where it is declared": ("LOC-03", too_near),
}


def test_a_whole_cluster_passes(whole: Findings) -> None:
    results = {control: whole[control, "edge"].result for control in MEASURED}
    assert results == dict.fromkeys(MEASURED, "pass"), {name: whole[name, "edge"].reason for name in results}
    assert set(MEASURED) == {control for control, _fault in FAULTS.values()}


def test_all_that_is_measured_of_clusters_is_broken_here() -> None:
    assert measured_controls("cluster") == set(MEASURED)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_its_control_and_by_no_other_one(edge: Edge, whole: Findings, name: str) -> None:
    control, fault = FAULTS[name]
    if fault is old_tls and not ssl.HAS_TLSv1_1:
        pytest.skip("the TLS library here has no TLS 1.1")
    with fault(edge):
        found = edge.findings()
    assert found.keys() == whole.keys()
    different = {key: one for key, one in found.items() if one.result != whole[key].result}
    assert {key: one.result for key, one in different.items()} == {(control, "edge"): "fail"}, different
    assert different[control, "edge"].offending
