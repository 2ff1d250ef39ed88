# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the writes that a demo guest saw acknowledged with the records on its disk.

The layout is that of init.sh: record n, from 1, is the sector at OFFSET + (n - 1) * 512. The guest prints
"ack n" after the disk has acknowledged record n, and never writes a record that is on its disk already.
So a write is lost when its record is missing, and also when it was acknowledged twice: the guest found it
missing after a start, and wrote it again.
Runs where the disk is, with the Python and qemu-img that are there. Prints one JSON object.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SECTOR = 512
CHUNK = 2048 * SECTOR

# A whole line: the end of a log may have half a number, and its other half be in the next host's log.
ACKNOWLEDGED = re.compile(rb"^ack ([0-9]+)\r*\n", re.MULTILINE)
RECORD = re.compile(rb"write ([0-9]{12})\n\0{493}")


def acknowledged(logs):
    """Return how often each record was acknowledged: {number: times}. logs: contents of serial logs."""
    return collections.Counter(int(number) for log in logs for number in ACKNOWLEDGED.findall(log))


def records(stream):
    """Return the numbers of the records in the data area, as a set; a record in another's place is none."""
    found = set()
    number = 1
    while True:
        chunk = stream.read(CHUNK)
        if not chunk:
            return found
        # Most of the area is empty, and a comparison is much faster than a match of each sector.
        if chunk.count(0) != len(chunk):
            for start in range(0, len(chunk), SECTOR):
                match = RECORD.fullmatch(chunk, start, start + SECTOR)
                if match and int(match.group(1)) == number + start // SECTOR:
                    found.add(int(match.group(1)))
        number += CHUNK // SECTOR


def judge(acks, found):
    """Return the verdict on acks, {number: times}, and found, a set of numbers, as a plain dict."""
    missing = sorted(set(acks) - found)
    repeated = sorted(number for number, times in acks.items() if times > 1)
    return {
        "acknowledged": len(acks),
        "found": len(found),
        "contiguous": len(found) == max(found, default=0),
        "lost": len(set(missing) | set(repeated)),
        "missing": missing[:20],
        "repeated": repeated[:20],
    }


def read_volume(volume, image_format, offset, directory):
    """Return the records of a volume that may be open elsewhere, by way of a raw copy in directory."""
    copy = Path(directory, "volume.raw")
    # -U: a suspended VM still holds the lock. The format is told: a guest could write another one's header.
    subprocess.run(["qemu-img", "convert", "-U", "-f", image_format, "-O", "raw", volume, str(copy)], check=True)
    with copy.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) <= offset:
            sys.exit(f"{volume} ends before byte {offset}, where the records should start")
        stream.seek(offset)
        return records(stream)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volume", required=True)
    parser.add_argument("--format", required=True, choices=["qcow2", "raw"])
    parser.add_argument("--offset", required=True, type=int, help="bytes")
    parser.add_argument("logs", nargs="+", help="files with the guest's serial output")
    options = parser.parse_args()

    logs = [Path(path).read_bytes() for path in options.logs]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        found = read_volume(options.volume, options.format, options.offset, directory)
    json.dump(judge(acknowledged(logs), found), sys.stdout)


if __name__ == "__main__":
    main()
