# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's files: all of them, written once, signed so that openssl says so, and refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.report import files, signing
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.report.files import NAMES, write_all
from ansible_collections.virt8ra.federation.plugins.module_utils.compliance.report.lines import lines
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from jsonschema import Draft202012Validator, ValidationError
from sample_findings import HOSTILE, large, report, sample

ROOT = Path(__file__).resolve().parents[6]
SCHEMA = Draft202012Validator(json.loads((ROOT / "docs" / "schemas" / "findings.schema.json").read_text(encoding="utf-8")))


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "signing.pem"
    assert openssl("genpkey", "-algorithm", "ed25519", "-out", path).returncode == 0
    assert openssl("pkey", "-in", path, "-pubout", "-out", tmp_path / "signing.pub").returncode == 0
    return path


def verifies(folder, name, public):
    arguments = ["-pubin", "-inkey", public, "-rawin", "-in", folder / name, "-sigfile", folder / f"{name}.sig"]
    return openssl("pkeyutl", "-verify", *arguments).returncode == 0


def test_all_four_are_written_and_only_what_differs_is_written_again(tmp_path):
    folder = tmp_path / "a" / "b"
    first = write_all(sample(), str(folder))
    assert first.paths == first.changed == tuple(str(folder / name) for name in NAMES)
    inodes = [(folder / name).stat().st_ino for name in NAMES]
    again = write_all(sample(), str(folder))
    assert again.changed == () and again.paths == first.paths
    assert [(folder / name).stat().st_ino for name in NAMES] == inodes
    (folder / "junit.xml").write_text("otherwise", encoding="utf-8")
    assert write_all(sample(), str(folder)).changed == (str(folder / "junit.xml"),)
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES), "no partial file is left"


def test_check_mode_tells_and_writes_nothing(tmp_path):
    told = write_all(sample(), str(tmp_path / "x"), check_mode=True)
    assert len(told.changed) == 4 and not (tmp_path / "x").exists()


def test_openssl_verifies_every_signature_and_refuses_a_changed_file(tmp_path, key):
    folder, public = tmp_path / "out", tmp_path / "signing.pub"
    told = write_all(sample(), str(folder), signing_key=str(key))
    names = [*NAMES, "manifest.json"]
    assert sorted(Path(path).name for path in told.paths) == sorted([*names, *(f"{name}.sig" for name in names)])
    assert all(verifies(folder, name, public) for name in names)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["files"] == {
        name: {"sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(), "bytes": (folder / name).stat().st_size}
        for name in NAMES
    }
    assert write_all(sample(), str(folder), signing_key=str(key)).changed == ()
    with (folder / "findings.json").open("a", encoding="utf-8") as file:
        file.write(" ")
    assert not verifies(folder, "findings.json", public)


def test_signatures_of_an_earlier_report_do_not_stay_beside_an_unsigned_one(tmp_path, key):
    write_all(sample(), str(tmp_path / "out"), signing_key=str(key))
    told = write_all(large(2, 2), str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(NAMES)
    assert len(told.changed) == 4 + 6


def test_what_is_no_key_is_refused_before_anything_is_written(tmp_path):
    rsa, other = tmp_path / "rsa.pem", tmp_path / "other"
    assert openssl("genpkey", "-algorithm", "rsa", "-out", rsa).returncode == 0
    other.write_text("x", encoding="utf-8")
    for path, word in ((rsa, "is no Ed25519 key"), (other, "cannot be used as a key"), (tmp_path / "no", "cannot be read")):
        with pytest.raises(InputError, match=f"signing_key=.*{word}"):
            write_all(sample(), str(tmp_path / "out"), signing_key=str(path))
    assert not (tmp_path / "out").exists()


def test_the_library_is_asked_for_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(signing, "Ed25519PrivateKey", None)
    with pytest.raises(InputError, match="needs the Python library cryptography; install cryptography"):
        write_all(sample(), str(tmp_path), signing_key="k")


def test_a_folder_that_is_none_is_refused(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"path=.*cannot be"):
        write_all(sample(), str(tmp_path / "file"))


@pytest.mark.parametrize("given", [sample(), large(3, 3)], ids=["sample", "large"])
def test_findings_are_as_the_schema_says(given):
    SCHEMA.validate(json.loads(lines(given, 2)))
    broken = {**given, "findings": [{**given["findings"][0], "result": "passed"}]}
    for wrong in (broken, {**given, "findings": []}, {**given, "more": 1}):
        with pytest.raises(ValidationError):
            SCHEMA.validate(wrong)


def test_findings_are_what_was_given_and_one_a_line():
    text = files.texts(sample())["findings.json"]
    assert json.loads(text) == sample()
    assert sum('"control": "ERA-01", "evidence"' in line for line in text.splitlines()) == 9
    text.encode()
    assert "\u202e" not in text and "Logroño" in text


def test_what_is_no_json_is_refused():
    with pytest.raises(InputError, match="cannot be written as JSON"):
        files.texts(report([], federation=float("nan")))
    assert HOSTILE["markup"] in lines({"a": HOSTILE["markup"]}, 1)
