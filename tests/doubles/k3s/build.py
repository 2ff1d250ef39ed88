# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the stand-in: one executable file with this package, the double of the API and a version. The same version, the same bytes."""

from __future__ import annotations

import argparse
import hashlib
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
_MAIN = "import sys\nfrom tests.doubles.k3s.cli import main\nsys.exit(main())\n"
_BEGIN = (1980, 1, 1, 0, 0, 0)


def _version(version: str) -> str:
    commit = hashlib.sha256(version.encode()).hexdigest()[:8]
    return f'"""Of this binary."""\n\nVERSION = "{version}"\nCOMMIT = "{commit}"\n'


def build(path: Path, version: str) -> str:
    """Writes the file; its SHA-256."""
    files = {"__main__.py": _MAIN, "tests/__init__.py": ""}
    for source in sorted(HERE.parent.rglob("*.py")):
        name = source.relative_to(HERE.parent.parent.parent).as_posix()
        files[name] = source.read_text(encoding="utf-8")
    files["tests/doubles/k3s/version.py"] = _version(version)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        out.write(b"#!/usr/bin/python3\n")
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in sorted(files.items()):
                archive.writestr(zipfile.ZipInfo(name, _BEGIN), content)
    path.chmod(0o755)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", default="v1.36.0+k3s1")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    print(f"{build(given.out, given.version)}  {given.out}")


if __name__ == "__main__":
    main()
