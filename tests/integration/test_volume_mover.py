# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes' data through mover pods between two doubles: real files, real busybox, real HTTP."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import ClusterAccess, ClusterApi, Running
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes import execution
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.connection import open_cluster
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes import attributes, sending, volume
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.moves import VolumeMoves, VolumePair
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.pace import Pace
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.pods import Mover, pod_name
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.volumes.survey import Survey
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import FederationError, MigrationFailed, UnreachableError

from tests.applications.sample import Kubectl
from tests.applications.volume import SPARSE, Entry, blocks_of, change_volume_data, read_volume, write_volume_data
from tests.doubles.kubernetes.client import Cluster

NAMESPACE = "movers"
CLAIM = "data"
MIGRATION = "m-1"
PAIR = VolumePair(NAMESPACE, CLAIM)
SECOND = 1_000_000_000


@dataclasses.dataclass
class Ends:
    source: Cluster
    target: Cluster
    apis: list[ClusterApi]
    told: list[tuple[str, dict[str, Any]]] = dataclasses.field(default_factory=list)

    def moves(
        self, *, image: str = "busybox:1.37", workers: int = 4, bandwidth: int = 0, check: Callable[[], None] = lambda: None
    ) -> VolumeMoves:
        def report(phase: str, figures: dict[str, Any]) -> None:
            self.told.append((phase, figures))

        return VolumeMoves(
            *(self.apis[0], self.apis[1], MIGRATION),
            image=image,
            workers=workers,
            bandwidth=bandwidth,
            report=report,
            check=check,
        )

    def folder(self, cluster: Cluster) -> Path:
        claim = Kubectl(cluster.kubeconfig).get("pvc", CLAIM, NAMESPACE) or {}
        return cluster.volume(claim["spec"]["volumeName"])

    @property
    def here(self) -> Path:
        return self.folder(self.source)

    @property
    def there(self) -> Path:
        return self.folder(self.target)


def claim(name: str = CLAIM) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def user(name: str = CLAIM) -> dict[str, Any]:
    """A pod that uses the claim."""
    container = {
        "name": "main",
        "image": "busybox:1.37",
        "command": ["sleep", "100000"],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    spec = {"containers": [container], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"user-{name}", "namespace": NAMESPACE}, "spec": spec}


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    with Cluster.start(tmp_path / "es", name="es") as source, Cluster.start(tmp_path / "de", name="de") as target:
        for cluster in (source, target):
            kubectl = Kubectl(cluster.kubeconfig)
            kubectl.create([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
            kubectl.create([claim()])
        kubectl = Kubectl(source.kubeconfig)
        kubectl.create([user()])
        kubectl.run("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod/user-data", "--timeout=60s")
        apis = [open_cluster(ClusterAccess(str(cluster.kubeconfig), patience=20)) for cluster in (source, target)]
        yield Ends(source, target, apis)
        for api in apis:
            api.close()


def facts(folder: Path, *, times: bool = True) -> dict[str, Entry]:
    """As a busybox can set them: times in whole seconds."""
    return {
        name: dataclasses.replace(entry, time_ns=entry.time_ns // SECOND if times else 0)
        for name, entry in read_volume(folder).items()
    }


def folder_times(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): int(path.stat().st_mtime)
        for path in [folder, *folder.rglob("*")]
        if path.is_dir() and not path.is_symlink()
    }


def test_all_that_is_hard_to_copy(ends: Ends) -> None:
    write_volume_data(ends.here, files=2000)
    os.mkfifo(ends.here / "pipe", 0o640)
    moves = ends.moves()

    sent = moves.seed([PAIR])

    assert facts(ends.there) == facts(ends.here)
    assert folder_times(ends.there) == folder_times(ends.here)
    assert sent > 4 * 2**20
    assert blocks_of(ends.there / SPARSE) < 2**20
    assert moves.compare([PAIR]) > 64 * 2**20
    assert moves.attributes == {"movers/data": attributes.KEPT}
    assert ends.told[-1][0] == "verify" and ends.told[-1][1]["files"] == ends.told[-1][1]["total_files"] > 2000


def test_a_delta_sends_what_changed(ends: Ends) -> None:
    write_volume_data(ends.here, files=2000)
    moves = ends.moves()
    moves.seed([PAIR])
    # An inode's number may be used again; the time of its last change only moves on.
    before = {path: path.lstat().st_ctime_ns for path in ends.there.rglob("*") if path.is_symlink() or path.is_file()}

    change_volume_data(ends.here)
    sent = ends.moves().delta([PAIR], at_rest=True)

    assert facts(ends.there) == facts(ends.here)
    assert folder_times(ends.there) == folder_times(ends.here)
    assert 0 < sent < 10_000
    new = {path.name for path, time in before.items() if os.path.lexists(path) and path.lstat().st_ctime_ns != time}
    # One name of a file with many is another file now: the others are sent together.
    together = {"hard-1", "hard-2", "hard-3", "plain.txt"}
    assert new - together == {"00003", "00004", "00007", "00008", "empty", "relative"}
    assert ends.moves().delta([PAIR], at_rest=True) == 0
    moves.compare([PAIR])


def test_facts_that_no_tar_header_holds(ends: Ends) -> None:
    """Dates before 1970 and far ahead, and the owners that some clusters give to their pods."""
    for name, when, owner in (("before", -315_619_200, 0), ("ahead", 10_413_792_000, 0), ("owned", 1_700_000_000, 1_000_650_000)):
        path, link, folder = ends.here / name, ends.here / f"{name}-link", ends.here / f"{name}-folder"
        path.write_text(name)
        link.symlink_to(name)
        folder.mkdir()
        for each in (path, link, folder):
            os.chown(each, owner, owner, follow_symlinks=False)
            os.utime(each, (when, when), follow_symlinks=False)
    moves = ends.moves()

    moves.seed([PAIR])

    assert facts(ends.there) == facts(ends.here)
    assert folder_times(ends.there) == folder_times(ends.here)
    assert moves.delta([PAIR], at_rest=True) == 0
    moves.compare([PAIR])


def test_what_was_done_at_rest_is_looked_at(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is listed once; only when what was done is not as it should be, or is much, all is listed again."""
    write_volume_data(ends.here, files=20)
    (ends.here / "x# read").write_text("an odd name")
    os.setxattr(ends.here / "x# read", "user.odd", b"1")
    ends.moves().seed([PAIR])
    listed = []
    both = volume.both

    def counted(*movers: Mover) -> tuple[Survey, Survey]:
        listed.append(len(movers))
        return both(*movers)

    monkeypatch.setattr(volume, "both", counted)
    change_volume_data(ends.here)
    ends.moves().delta([PAIR], at_rest=True)
    assert (len(listed), facts(ends.there)) == (1, facts(ends.here))

    set_facts = sending.set_facts
    monkeypatch.setattr(sending, "set_facts", lambda *_given, **_more: monkeypatch.setattr(sending, "set_facts", set_facts))
    (ends.here / "empty-folder" / "new").write_text("changes its folder's time")
    ends.moves().delta([PAIR], at_rest=True)
    assert len(listed) == 3
    assert folder_times(ends.there) == folder_times(ends.here)


def test_files_with_holes_go_as_they_are(ends: Ends) -> None:
    """Without a compressor: what has something in it is sent, and nothing else, to the byte."""
    piece = 4 * 2**20
    contents = {
        "bytes": [(0, b"\n"), (piece + 65536, b"\n" * 65537), (3 * piece - 1, b"\xff\x01"), (5 * piece, b"end")],
        "solid then hole": [(0, os.urandom(2 * piece)), (9 * piece, b"")],
        "all\nhole\n": [(3 * piece + 17, b"")],
    }
    for name, parts in contents.items():
        with (ends.here / name).open("wb") as file:
            for place, data in parts:
                file.seek(place)
                file.write(data)
                file.truncate()
    moves = ends.moves()
    for cluster in (ends.source, ends.target):
        (cluster.folder / "images" / "full" / "bin" / "gzip").unlink(missing_ok=True)

    sent = moves.seed([PAIR])

    assert facts(ends.there) == facts(ends.here)
    assert 2 * piece < sent < 3 * piece
    for name in contents:
        assert blocks_of(ends.there / name) <= blocks_of(ends.here / name) + 2**18
    moves.compare([PAIR])
    assert moves.delta([PAIR], at_rest=True) == 0


def test_a_server_that_cannot_end_a_stdin(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "V5", execution.V4)
    write_volume_data(ends.here, files=50)
    moves = ends.moves()
    moves.seed([PAIR])
    moves.compare([PAIR])
    assert facts(ends.there) == facts(ends.here)


def test_one_wrong_byte_is_found(ends: Ends) -> None:
    write_volume_data(ends.here, files=20)
    moves = ends.moves()
    moves.seed([PAIR])
    wrong = ends.there / "many" / "00007"
    before = wrong.stat()
    with wrong.open("r+b") as file:
        file.write(b"?")
    os.utime(wrong, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(MigrationFailed, match="movers/data differs at the target: many/00007;"):
        moves.compare([PAIR])

    moves.delta([PAIR], at_rest=True)
    moves.compare([PAIR])
    assert facts(ends.there) == facts(ends.here)


def test_the_source_is_only_read_and_no_pod_is_left(ends: Ends) -> None:
    write_volume_data(ends.here, files=5)
    before = read_volume(ends.here)
    moves = ends.moves()
    moves.seed([PAIR])
    assert {each["pod"] for each in ends.source.writers(CLAIM)} == {"user-data"}
    moves.tidy([NAMESPACE])
    for cluster in (ends.source, ends.target):
        pods = [pod["metadata"]["name"] for pod in Kubectl(cluster.kubeconfig).each("pods", NAMESPACE)]
        assert pods == (["user-data"] if cluster is ends.source else [])
    assert read_volume(ends.here) == before


def test_a_plain_image_says_what_it_cannot_keep(ends: Ends) -> None:
    write_volume_data(ends.here, files=5)
    moves = ends.moves(image="busybox-plain:1.37")
    moves.seed([PAIR])
    moves.compare([PAIR])
    assert moves.attributes == {"movers/data": attributes.UNREADABLE}
    assert {entry.sha256 for entry in facts(ends.there).values()} == {entry.sha256 for entry in facts(ends.here).values()}


def test_a_full_volume_is_told(ends: Ends) -> None:
    moves = ends.moves()
    moves.seed([PAIR])
    write_volume_data(ends.here, files=5)
    # Pods that run do not see it.
    moves.tidy([NAMESPACE])
    ends.target.fault({"disk_full": ends.there.name})

    with pytest.raises(FederationError, match="the volume of claim movers/data at de is full; make the claim at the target larger"):
        moves.delta([PAIR])

    # The pod that had it mounted is gone: an old mount does not see the room that is made.
    ends.target.fault({})
    moves.delta([PAIR], at_rest=True)
    moves.compare([PAIR])


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_lost_pod_is_made_anew(ends: Ends, end: str) -> None:
    """It is evicted in the middle of the large file."""
    write_volume_data(ends.here, files=300)
    faults = []

    def check() -> None:
        if not faults and ends.told and ends.told[-1][1]["bytes"]:
            faults.append(getattr(ends, end).fault({"evict": pod_name(MIGRATION, CLAIM)}))

    moves = ends.moves(check=check)
    moves.seed([PAIR])
    moves.compare([PAIR])
    assert facts(ends.there) == facts(ends.here)


def test_a_cut_connection_is_begun_anew(ends: Ends) -> None:
    write_volume_data(ends.here, files=300)
    ends.target.fault({"drop_exec_after": 1_000_000})
    ends.source.fault({"drop_exec_after": 3_000_000})
    moves = ends.moves()
    moves.seed([PAIR])
    moves.compare([PAIR])
    assert facts(ends.there) == facts(ends.here)


def test_a_claim_that_somebody_uses_at_the_target_is_refused(ends: Ends) -> None:
    write_volume_data(ends.here, files=5)
    kubectl = Kubectl(ends.target.kubeconfig)
    kubectl.create([user()])
    with pytest.raises(MigrationFailed, match=r"claim movers/data at de is mounted by pod user-data, .*; scale what it belongs to"):
        ends.moves().seed([PAIR])
    kubectl.run("-n", NAMESPACE, "delete", "pod", "user-data", "--wait")
    ends.moves().seed([PAIR])
    assert facts(ends.there) == facts(ends.here)


def test_a_pod_that_does_not_answer_is_made_anew(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ready, as its node says, and no command can be started in it."""
    write_volume_data(ends.here, files=5)
    moves = ends.moves()
    moves.seed([PAIR])
    kubectl, name, api = Kubectl(ends.target.kubeconfig), pod_name(MIGRATION, CLAIM), ends.apis[1]
    run = api.run

    def uid() -> str:
        return str((kubectl.get("pod", name, NAMESPACE) or {})["metadata"]["uid"])

    before = uid()

    def answer(*given: Any, **more: Any) -> Running:
        if uid() == before:
            raise UnreachableError("its node does not answer")
        return run(*given, **more)

    monkeypatch.setattr(api, "run", answer)
    (ends.here / "new file").write_text("one more")

    moves.delta([PAIR], at_rest=True)

    assert facts(ends.there) == facts(ends.here)
    assert uid() != before


def test_pods_hold_no_more_than_they_need(ends: Ends) -> None:
    ends.moves().seed([PAIR])
    found = {}
    for cluster in (ends.source, ends.target):
        pod = Kubectl(cluster.kubeconfig).get("pod", pod_name(MIGRATION, CLAIM), NAMESPACE) or {}
        assert pod["spec"]["activeDeadlineSeconds"] == 86400
        container = pod["spec"]["containers"][0]
        found[cluster is ends.source] = container["securityContext"]["capabilities"]["add"]
        assert container["volumeMounts"][0].get("readOnly", False) is (cluster is ends.source)
    assert found[True] == ["DAC_OVERRIDE"]
    assert set(found[False]) == {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"}


def test_copying_keeps_to_its_bandwidth(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    write_volume_data(ends.here, files=5)
    spent: list[int] = []
    monkeypatch.setattr(Pace, "spend", lambda pace, size: spent.append(size * bool(pace._rate)))
    sent = ends.moves(bandwidth=10**9).seed([PAIR])
    assert sum(spent) >= sent > 4 * 2**20
