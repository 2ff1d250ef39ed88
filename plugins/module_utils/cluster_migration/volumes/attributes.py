# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Extended attributes and access lists: read with getfattr and set with setfattr, where the mover's image has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .listing import FIND
from .pods import Mover
from .shell import ask, listed

UNREADABLE = "not readable with this mover image"
KEPT = "kept"
# What root in a container may set; the rest belongs to the node. Where nothing is set, getfattr prints nothing.
READ = r"""
cat "$names" | xargs -0 getfattr -h -d -m '^user\.|^security\.capability$|^system\.posix_acl_' -e hex -- 2>/dev/null
printf '# read\n'
"""
END = b"# read\n"
_FILE = b"# file: "
# Attribute by attribute, by getfattr's own escaped names.
Attributes = Mapping[bytes, Mapping[bytes, bytes]]


def read(mover: Mover) -> Attributes | None:
    """``{file: {name: value}}``, as getfattr writes them; None when it was cut off."""
    return parse(ask(mover, FIND + READ + 'rm -f "$names"'))


def parse(output: bytes) -> Attributes | None:
    if not output.endswith(END):
        return None
    found: dict[bytes, dict[bytes, bytes]] = {}
    here: dict[bytes, bytes] = {}
    for line in output[: -len(END)].split(b"\n"):
        if line.startswith(_FILE):
            here = found.setdefault(line[len(_FILE) :], {})
        elif line:
            name, _equals, value = line.partition(b"=")
            here[name] = value
    return found


def differing(source: Attributes, target: Attributes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """What setfattr is to restore, in its own format, and ``(file, attribute)`` that must go."""
    blocks = []
    extra = []
    for file, wanted in source.items():
        new = {name: value for name, value in wanted.items() if target.get(file, {}).get(name) != value}
        if new:
            lines = [name + (b"=" + value if value else b"") for name, value in sorted(new.items())]
            blocks.append(b"\n".join([_FILE + file, *lines]) + b"\n\n")
    for file, there in target.items():
        extra += [(file, name) for name in there if name not in source.get(file, {})]
    return b"".join(blocks), extra


def write(target: Mover, restore: bytes, extra: Iterable[tuple[bytes, bytes]]) -> None:
    """setfattr's restore needs a file. What has vanished meanwhile is told by another listing."""
    if restore:
        script = f"""cd /data || exit 9
given=$(mktemp /tmp/given.XXXXXX) || exit 9
head -c {len(restore)} >"$given"
said=$(setfattr -h --restore="$given" 2>&1); code=$?
rm -f "$given"
[ $code = 0 ] || printf '%s\\n' "$said" | grep -v 'No such file' >&2 && exit $code
exit 0"""
        ask(target, script, restore)
    gone = [name + b":" + unescaped(file) for file, name in extra]
    if gone:
        data, reads = listed(gone)
        ask(target, f'cd /data || exit 9; {reads} sh -c \'for r; do setfattr -h -x "${{r%%:*}}" -- "./${{r#*:}}"; done\' sh', data)


def unescaped(name: bytes) -> bytes:
    r"""getfattr writes odd bytes as ``\ooo``."""
    found = bytearray()
    position = 0
    while position < len(name):
        digits = name[position + 1 : position + 4]
        if name[position : position + 1] == b"\\" and len(digits) == 3 and digits.isdigit():
            found.append(int(digits, 8))
            position += 4
        else:
            found.append(name[position])
            position += 1
    return bytes(found)
