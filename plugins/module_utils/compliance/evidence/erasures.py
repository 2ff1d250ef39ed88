# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what a VM left at its former hypervisor was erased, as receipts kept here bear out."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

from ...backends.host.reading import Host
from ...backends.libvirt import metadata
from ...errors import BackendError, NotFoundError
from ...migration.journal import Journal
from .fact import Fact, measured


def erasure_facts(host: Host, root: ET.Element, state: str) -> dict[str, Fact]:
    """Area ``receipts`` of one VM.

    :param state: where migrations keep their receipts, in ``receipts`` below
    """
    how = f"the VM's journal in libvirt's metadata, and {state}/receipts"
    return {"receipts": measured(how, lambda: _receipts(host, root, state))}


def _receipts(host: Host, root: ET.Element, state: str) -> dict[str, Any]:
    """``{migration, phase, source, expected, missing, erased, how}``; ``phase`` is empty for a VM that never migrated.

    ``expected`` are the disks that the VM had at ``source``, ``missing`` those of them that no receipt names.
    """
    journal = Journal.from_dict(metadata.read(root, "migration"))
    if journal is None:
        return {"migration": "", "phase": "", "source": "", "expected": [], "missing": [], "erased": None, "how": ""}
    expected = sorted(str(disk.get("source_path", "")) for disk in journal.disks.values())
    kept = _kept(host, f"{state}/receipts/{root.findtext('uuid')}.{journal.id}.json")
    named = kept.get("volumes") or ()
    return {
        "migration": journal.id,
        "phase": journal.phase,
        "source": journal.source,
        "expected": expected,
        "missing": [path for path in expected if path not in named],
        "erased": kept.get("erased"),
        "how": str(kept.get("how", "")),
    }


def _kept(host: Host, path: str) -> dict[str, Any]:
    """The receipt, empty where none was kept; BackendError for one that cannot be read."""
    try:
        kept = json.loads(host.read(path))
    except NotFoundError:
        return {}
    except ValueError:
        raise BackendError(f"{path} is no JSON") from None
    if not isinstance(kept, dict):
        raise BackendError(f"{path} is no receipt")
    return kept
