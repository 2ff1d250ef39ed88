# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Debian guest with PostgreSQL under load, which says on its console what was committed; and what a test asks about it."""

from __future__ import annotations

import base64
import functools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from .guest import SOURCE, TARGET, Guest
from .lab import ROOT, Lab

IMAGE, SEED = "t-debian.qcow2", "t-database-seed.img"
_POOL = "/var/lib/libvirt/images"
_PG = "/usr/lib/postgresql/15/bin"

# A number is printed once COMMIT has returned. After a start it goes on behind what the database has: a commit that was lost would be
# printed twice.
_LEDGER = """\
#!/bin/bash
n=$(runuser -u postgres -- psql -qXAt bench -c 'select coalesce(max(n), 0) from ledger')
while sleep 0.1; do
    n=$((n + 1))
    printf 'insert into ledger values (%s);\\n\\\\echo commit %s\\n' "$n" "$n"
done | runuser -u postgres -- psql -qXAt -v ON_ERROR_STOP=1 bench >/dev/ttyS0
"""
# pgbench moves the same sums in all four tables, or in none.
_VERDICT = f"""\
#!/bin/sh
exec 2>&1
runuser -u postgres -- psql -qXAt bench <<'END'
select json_build_object(
    'committed', (select count(*) from ledger), 'last', (select coalesce(max(n), 0) from ledger),
    'transactions', (select count(*) from pgbench_history),
    'sums', json_build_array((select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
                             (select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history)),
    'checksums', current_setting('data_checksums'),
    'checksum_failures', (select coalesce(sum(checksum_failures), 0) from pg_stat_database));
END
runuser -u postgres -- {_PG}/pg_amcheck --heapallindexed bench && echo amcheck finds no damage
"""


def _unit(command: str) -> str:
    return f"[Unit]\nAfter=postgresql.service\n[Service]\nExecStart={command}\nRestart=always\nRestartSec=1\n[Install]\nWantedBy=multi-user.target\n"


def _user_data() -> dict[str, Any]:
    load = f"/usr/sbin/runuser -u postgres -- {_PG}/pgbench --no-vacuum --client 2 --rate 20 --time 86400 bench"
    files = [
        {"path": "/usr/local/sbin/ledger", "permissions": "0755", "content": _LEDGER},
        {"path": "/usr/local/sbin/verdict", "permissions": "0755", "content": _VERDICT},
        {"path": "/etc/systemd/system/ledger.service", "content": _unit("/usr/local/sbin/ledger")},
        {"path": "/etc/systemd/system/load.service", "content": _unit(load)},
    ]
    commands = [
        "pg_ctlcluster 15 main stop",
        f"runuser -u postgres -- {_PG}/pg_checksums --enable --pgdata /var/lib/postgresql/15/main",
        "systemctl start postgresql@15-main",
        "runuser -u postgres -- createdb bench",
        f"runuser -u postgres -- {_PG}/pgbench --quiet --initialize --scale 1 bench",
        "runuser -u postgres -- psql -q bench -c 'create table ledger (n bigint primary key); create extension amcheck'",
        "systemctl enable --now ledger load",
    ]
    return {"hostname": "database", "write_files": files, "runcmd": [["sh", "-exc", "; ".join(commands)]]}


@functools.cache
def debian_image(lab: Lab) -> str:
    """Path of the image on this machine; the role makes it when it is not there."""
    options = {"demo_guest_kind": "debian", "demo_guest_packages": ["postgresql"]}
    role = {"name": "build", "ansible.builtin.include_role": {"name": "virt8ra.federation.demo_guest"}, "vars": options}
    shown = {"name": "tell", "ansible.builtin.debug": {"var": "demo_guest_image"}}
    result = lab.tasks("localhost", [role, shown])[-1]
    assert "demo_guest_image" in result, result
    return str(ROOT / result["demo_guest_image"])


def seed_image(folder: Path) -> Path:
    """A disk that cloud-init reads."""
    image = folder / SEED
    (folder / "user-data").write_text("#cloud-config\n" + yaml.safe_dump(_user_data()), encoding="utf-8")
    (folder / "meta-data").write_text("instance-id: database-1\n", encoding="utf-8")
    with image.open("wb") as file:
        file.truncate(4 * 2**20)
    subprocess.run(["/usr/sbin/mkfs.vfat", "-n", "CIDATA", image], check=True, capture_output=True)
    subprocess.run(["mcopy", "-i", image, folder / "user-data", folder / "meta-data", "::"], check=True, capture_output=True)
    return image


class Database(Guest):
    """A VM with two disks: Debian, and its cloud-init data."""

    def deploy_database(self, folder: Path) -> None:
        """Make it at SOURCE and wait until it commits."""
        for path, name in ((debian_image(self.lab), IMAGE), (str(seed_image(folder)), SEED)):
            copied = self.lab.module(SOURCE, "ansible.builtin.copy", {"src": path, "dest": f"{_POOL}/{name}", "mode": "0644"})
            assert not copied.get("failed"), copied
        self.deploy(
            cpus=2,
            memory="768MiB",
            disks=[
                {"name": "vda", "size": "3GiB", "storage": "ssd", "image": f"images/{IMAGE}"},
                {"name": "vdb", "size": "4MiB", "storage": "ssd", "image": f"images/{SEED}"},
            ],
        )

    def acknowledged(self, host: str) -> int:
        return max(self.commits(host), default=0)

    def commits(self, host: str) -> list[int]:
        """The numbers that were printed at this host, in their order."""
        log = self.lab.run(host, f"cat {self.log} 2>/dev/null", check=False)
        return [int(number) for number in re.findall(r"\bcommit (\d+)\r?$", log, re.MULTILINE)]

    def findings(self, host: str) -> dict[str, Any]:
        """What PostgreSQL says of itself, through the guest's agent; ``amcheck`` is true where it found no damage."""
        told = self._execute(host, "/usr/local/sbin/verdict")
        assert told.startswith("{"), told
        first, _line, rest = told.partition("\n")
        return {**json.loads(first), "amcheck": "amcheck finds no damage" in rest, "told": rest}

    def _agent(self, host: str, command: str, **arguments: Any) -> dict[str, Any]:
        request = json.dumps({"execute": command, "arguments": arguments})
        answer: dict[str, Any] = json.loads(self.lab.run(host, f"virsh qemu-agent-command {self.name} '{request}'"))["return"]
        return answer

    def _execute(self, host: str, path: str) -> str:
        pid = self._agent(host, "guest-exec", path=path, **{"capture-output": True})["pid"]
        status: dict[str, Any] = {}

        def ended() -> bool:
            status.update(self._agent(host, "guest-exec-status", pid=pid))
            return bool(status["exited"])

        self.wait(ended, f"{path} in {self.name}")
        return base64.b64decode(status.get("out-data", "")).decode(errors="replace")

    def remove(self) -> None:
        super().remove()
        for host in (SOURCE, TARGET):
            self.lab.run(host, f"rm -f {_POOL}/{IMAGE} {_POOL}/{SEED}; virsh pool-refresh images >/dev/null", check=False)
