# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as OSCAL 1.2.1 assessment-results, for auditors' tools. Pure; the same report gives the same bytes.

An observation for each finding of ours, with its evidence; an OSCAL finding for each that applies; a risk for each fail.
What could not be judged is not satisfied, with the reason ``other``: unknown is never good. A waiver is an approved deviation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from ...shown import mapping, mappings, plain
from .lines import compact, lines
from .scopes import scope_words

VERSION = "1.2.1"
NAMESPACE = "https://github.com/virt8ra/federation/ns/oscal"
_ROOT = uuid5(UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8"), NAMESPACE)
_NOT_YET = "00000000-0000-5000-8000-000000000000"
_NO_TOKEN = re.compile(r"[^A-Za-z0-9_.-]+")
_METHODS = {"measured": ["TEST"], "attested": ["EXAMINE"], "compared": ["EXAMINE", "TEST"]}
_STATUS = {"pass": ("satisfied", "pass"), "fail": ("not-satisfied", "fail")}

Data = dict[str, Any]


def assessment_results(report: Mapping[str, Any]) -> str:
    """The text of assessment-results.json.

    :param report: as docs/schemas/findings.schema.json describes it
    """
    document = _Document(report)
    text = lines({"assessment-results": document.whole()}, 5)
    # Another content is another document.
    return text.replace(_NOT_YET, document.uuid("document", hashlib.sha256(text.encode()).hexdigest()), 1)


class _Document:
    """One document. UUIDs are made from what they identify, so that the same thing has the same one in every report."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self.report = report
        self.federation = plain(report.get("federation")) or "federation"
        self.generated = plain(report.get("generated"))
        self.findings = mappings(report, "findings")
        self.tool = self.uuid("tool")
        self.origins = [{"actors": [{"type": "tool", "actor-uuid": self.tool}]}]
        self.digests: dict[int, str] = {}
        self.made: dict[tuple[str, str, str, str], str] = {}

    def uuid(self, *what: Any) -> str:
        """As uuid5 makes it, which is slow where there are many."""
        words = [word if isinstance(word, str) else compact(word) for word in (self.federation, *what)]
        name = "\x00".join(words).encode("utf-8", "backslashreplace")
        number = int.from_bytes(hashlib.sha1(_ROOT.bytes + name, usedforsecurity=False).digest()[:16], "big")
        number = number & ~(0xC000 << 48) & ~(0xF000 << 64) | (0x8000 << 48) | (5 << 76)
        text = f"{number:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def whole(self) -> Data:
        profile = mapping(self.report, "profile")
        plan = self.uuid("profile", profile.get("name"))
        run = [self.generated, plain(self.report.get("today")), plan]
        title = plain(profile.get("title")) or plain(profile.get("name")) or "compliance"
        name = plain(profile.get("name")) or "unnamed"
        resource = {
            "uuid": plan,
            "title": title,
            "description": f"The profile {name} of virt8ra.federation, which was the plan of this assessment.",
            "props": [_prop("profile", name)],
        }
        return {
            "uuid": _NOT_YET,
            "metadata": {
                "title": f"Compliance of {self.federation}: {title}",
                "last-modified": self.generated,
                "version": _text(self.generated),
                "oscal-version": VERSION,
                **_some("locations", [self._location(site) for site in mappings(self.report, "sites")]),
            },
            "import-ap": {"href": f"#{plan}"},
            "results": [self._result(run, title)],
            "back-matter": {"resources": [resource]},
        }

    def _location(self, site: Mapping[str, Any]) -> Data:
        props = [_prop(key, site[key]) for key in ("provider", "latitude", "longitude") if site.get(key) is not None]
        address = {key: _text(site[key]) for key in ("city", "country") if site.get(key)}
        name = plain(site.get("name"))
        return {
            "uuid": self._subject_uuid({"type": "site", "name": name}),
            "title": _text(name),
            **_some("address", address),
            **_some("props", props),
        }

    def _result(self, run: list[str], title: str) -> Data:
        subjects = {self._subject_uuid(one["subject"]): one["subject"] for one in self.findings if one["subject"]["type"] != "site"}
        known = {self._subject_uuid({"type": "site", "name": plain(site.get("name"))}) for site in mappings(self.report, "sites")}
        lost = {self._subject_uuid(one["subject"]): one["subject"] for one in self.findings if one["subject"]["type"] == "site"}
        subjects.update({uuid: subject for uuid, subject in lost.items() if uuid not in known})
        self.known = known
        controls = [_token(name) for name in dict.fromkeys(one["control"] for one in self.findings)]
        counts = mapping(self.report, "summary")
        told = ", ".join(f"{counts[key]} {key}" for key in sorted(counts))
        tool = {
            "uuid": self.tool,
            "type": "software",
            "title": "virt8ra.federation",
            "description": "The collection that judged.",
            "status": {"state": "operational"},
        }
        return {
            "uuid": self.uuid("result", *run),
            "title": title,
            "description": f"What was measured and attested at the sites of {self.federation}, as judged on {plain(self.report.get('today'))}: {told}.",
            "start": self.generated,
            "end": self.generated,
            "local-definitions": {
                "components": [tool],
                **_some("inventory-items", [self._item(uuid, subjects[uuid]) for uuid in sorted(subjects)]),
            },
            "reviewed-controls": {
                "control-selections": [{"include-controls": [{"control-id": name} for name in controls]}]
                if controls
                else [{"include-all": {}}],
                "control-objective-selections": [{"include-objectives": [{"objective-id": name} for name in controls]}]
                if controls
                else [{"include-all": {}}],
            },
            **_some("observations", [self._observation(one) for one in self.findings]),
            **_some("risks", [self._risk(one) for one in self.findings if one["result"] == "fail"]),
            **_some("findings", [self._finding(one) for one in self.findings if one["result"] != "not_applicable"]),
        }

    def _subject_uuid(self, subject: Mapping[str, Any]) -> str:
        """A site's name is its own; another subject's name is unique only with its type and site."""
        site = "" if subject["type"] == "site" else plain(subject.get("site"))
        key = ("subject", subject["type"], site, str(subject["name"]))
        if key not in self.made:
            self.made[key] = self.uuid(*key)
        return self.made[key]

    def _item(self, uuid: str, subject: Mapping[str, Any]) -> Data:
        props = [_prop("subject-type", subject["type"]), _prop("name", subject["name"])]
        props += [_prop("site", subject["site"])] if subject.get("site") else []
        return {"uuid": uuid, "description": _named(subject), "props": props}

    def _about(self, one: Mapping[str, Any]) -> list[str]:
        subject = one["subject"]
        return [one["control"], subject["type"], plain(subject.get("site")), str(subject["name"])]

    def _observation(self, one: Mapping[str, Any]) -> Data:
        uuid = self._subject_uuid(one["subject"])
        kind = "location" if uuid in self.known else "inventory-item"
        evidence = mapping(one, "evidence")
        return {
            "uuid": self.uuid("observation", *self._about(one)),
            "title": _text(f"{one['control']} of {_named(one['subject'])}"),
            "description": _text(one.get("reason")),
            "props": [_prop("result", one["result"]), _prop("severity", one.get("severity"))],
            "methods": _METHODS.get(one.get("how", ""), ["TEST"]),
            "types": ["control-objective"],
            "origins": self.origins,
            "subjects": [{"subject-uuid": uuid, "type": kind, "title": _text(one["subject"]["name"])}],
            **_some("relevant-evidence", [self._evidence(str(area), evidence[area]) for area in sorted(evidence)]),
            "collected": self.generated,
        }

    def _evidence(self, area: str, fact: Any) -> Data:
        """By its digest: the evidence itself is in findings.json, once for all who read it."""
        if id(fact) not in self.digests:
            self.digests[id(fact)] = hashlib.sha256(compact(fact).encode("utf-8", "backslashreplace")).hexdigest()
        fact_data = fact if isinstance(fact, Mapping) else {}
        props = [_prop("area", area), _prop("sha256", self.digests[id(fact)])]
        props += [_prop("error", fact_data["error"])] if fact_data.get("error") else []
        how = fact_data.get("how") or ("attested in the federation file" if area == "attestation" else "gathered")
        return {"href": "findings.json", "description": _text(how), "props": props}

    def _finding(self, one: Mapping[str, Any]) -> Data:
        state, reason = _STATUS.get(one["result"], ("not-satisfied", "other"))
        about = self._about(one)
        clauses = [
            _prop("clause", f"{plain(clause.get('framework'))} {plain(clause.get('clause'))}")
            for clause in mappings(one, "clauses")
        ]
        risk = [{"risk-uuid": self.uuid("risk", *about)}] if one["result"] == "fail" else []
        return {
            "uuid": self.uuid("finding", *about),
            "title": _text(f"{one['control']} {one.get('title', '')}"),
            "description": _text(one.get("reason")),
            **_some("props", clauses),
            "origins": self.origins,
            "target": {"type": "objective-id", "target-id": _token(one["control"]), "status": {"state": state, "reason": reason}},
            "related-observations": [{"observation-uuid": self.uuid("observation", *about)}],
            **_some("related-risks", risk),
        }

    def _risk(self, one: Mapping[str, Any]) -> Data:
        about, waiver = self._about(one), mapping(one, "waiver")
        severity = _text(one.get("severity"))
        facet = {"name": "severity", "system": NAMESPACE, "value": severity}
        remedy = {
            "uuid": self.uuid("remedy", *about),
            "lifecycle": "recommendation",
            "title": _text(f"Remedy of {one['control']}"),
            "description": _text(one.get("remedy")),
        }
        return {
            "uuid": self.uuid("risk", *about),
            "title": _text(f"{one.get('title', '')}: {plain(one['subject']['name'])}"),
            "description": _text(one.get("reason")),
            "statement": _text(one.get("reason")),
            "status": "deviation-approved" if one.get("waived") else "open",
            "origins": self.origins,
            "characterizations": [{"origin": self.origins[0], "facets": [facet]}],
            "remediations": [remedy],
            **_some("risk-log", {"entries": [self._waiver(one, waiver, about)]} if waiver else {}),
            "related-observations": [{"observation-uuid": self.uuid("observation", *about)}],
        }

    def _waiver(self, one: Mapping[str, Any], waiver: Mapping[str, Any], about: list[str]) -> Data:
        expires = plain(waiver.get("expires"))
        return {
            "uuid": self.uuid("waiver", *about, expires),
            "title": f"Waived until {_text(expires)}" if one.get("waived") else f"A waiver that expired on {_text(expires)}",
            "description": _text(waiver.get("reason")),
            "start": self.generated,
            "props": [
                _prop("owner", waiver.get("owner")),
                _prop("scope", scope_words(waiver.get("scope"))),
                _prop("expires", expires),
            ],
            "status-change": "deviation-approved" if one.get("waived") else "open",
        }


def _prop(name: str, value: Any) -> Data:
    return {"name": name, "ns": NAMESPACE, "value": _text(value)}


def _some(key: str, value: Any) -> Data:
    """OSCAL has no empty lists."""
    return {key: value} if value else {}


def _text(value: Any) -> str:
    """One line without blanks at its ends, and never empty, as OSCAL wants its strings."""
    text = value if isinstance(value, (str, int, float)) or value is None else compact(value)
    return plain(text).strip() or "-"


def _token(name: str) -> str:
    token = _NO_TOKEN.sub("_", name)
    return token if token[:1].isalpha() or token[:1] == "_" else f"_{token}"


def _named(subject: Mapping[str, Any]) -> str:
    site = plain(subject.get("site"))
    at = f" at {site}" if site and subject["type"] != "site" else ""
    return f"{plain(subject['type'])} {plain(subject['name'])}{at}"
