# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python -m tests.doubles.kubernetes --folder F``: serve until SIGTERM; the state is then in ``F/state.json``."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from .cluster import Options, serve


def main() -> None:
    parser = argparse.ArgumentParser(description="A test double of a Kubernetes API server; see README.md beside it.")
    parser.add_argument("--folder", type=Path, required=True, help="of kubeconfigs, certificates, volumes and state")
    parser.add_argument("--address", default="127.0.0.1", help="to listen on")
    parser.add_argument("--advertise", default="", help="the address in kubeconfigs, when it is another")
    parser.add_argument("--port", type=int, default=0, help="0: any, the one of before after a restart")
    parser.add_argument("--name", default="double", help="of the cluster and of the context")
    parser.add_argument("--version", default="v1.36.0", help="that /version tells")
    parser.add_argument("--san", action="append", default=[], help="more names of the server's certificate")
    parser.add_argument("--busybox", type=Path, default=Path("/bin/busybox"), help="a static busybox for pods")
    parser.add_argument("--nodes", type=int, default=1, help="how many nodes, all ready")
    parser.add_argument("--tls", default="TLSv1.2", help="the oldest version of TLS that it agrees to")
    parser.add_argument("--no-controllers", action="store_true", help="nothing happens but what requests do")
    parser.add_argument("--durable", action="store_true", help="a write is answered when it is on the disk")
    given = vars(parser.parse_args())
    given["controllers"] = not given.pop("no_controllers")
    given["sans"] = tuple(given.pop("san"))
    asyncio.run(serve(Options(**given)))


if __name__ == "__main__":
    main()
