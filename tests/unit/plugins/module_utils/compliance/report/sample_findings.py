# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports as judging gives them: one of eight sites with every result and hostile strings, and one as large as is wanted."""

from __future__ import annotations

from collections import Counter
from typing import Any

HOSTILE = {
    "markup": "<script>alert('x')</script><img src=x onerror=alert(1)>",
    "quotes": "\"'`]]>--></details></section><!--",
    "control": "bell\x07 null\x00 escape\x1b[31m tab\t line\nnext \ud800 \ufffe",
    "turned": "abc\u202egpj.exe\u2066",
    "long": "W" * 600,
    "template": "{{ 7 * 7 }} ${jndi:ldap://x} &amp; &#x3c;",
}
RESULTS = ("pass", "fail", "not_applicable", "not_assessed", "error")
TODAY = "2026-11-25"

SITES = [
    {"name": name, "provider": provider, "country": country, "city": city, "latitude": latitude, "longitude": longitude}
    for name, provider, country, city, latitude, longitude in (
        ("arsys-logrono", "Arsys", "ES", "Logroño", 42.4627, -2.4450),
        ("mondragon-arrasate", "MONDRAGON", "ES", "Arrasate/Mondragón", 43.0644, -2.4898),
        ("bit-ede", "BIT", "NL", "Ede", 52.0402, 5.6649),
        ("gdansk-tech", "Gdańsk University of Technology", "PL", "Gdańsk", 54.3714, 18.6190),
        ("oktawave-warsaw", "Oktawave", "PL", "Warsaw", 52.2297, 21.0122),
        ("infobip-vodnjan", "Infobip", "HR", "Vodnjan", 44.9594, 13.8517),
        ("ionos-berlin", "IONOS", "DE", "Berlin", 52.52, 13.405),
        ("kontron-kranj", HOSTILE["markup"], "SI", HOSTILE["turned"], 46.2389, 14.3556),
    )
]
LINKS = [
    {"source": source, "target": target, "rtt_ms": rtt}
    for source, target, rtt in (
        ("arsys-logrono", "ionos-berlin", 31.42),
        ("ionos-berlin", "arsys-logrono", 31.61),
        ("arsys-logrono", "bit-ede", 27.9),
        ("bit-ede", "ionos-berlin", 12.3),
        ("ionos-berlin", "gdansk-tech", 9.84),
        ("gdansk-tech", "oktawave-warsaw", 6.2),
        ("kontron-kranj", "infobip-vodnjan", 4.1),
        ("ionos-berlin", "kontron-kranj", 17.5),
        ("arsys-logrono", "mondragon-arrasate", 1.9),
        ("oktawave-warsaw", "nowhere", 5.0),
    )
]
_CONTROLS = (
    ("ERA-01", "Proof of erasure", "high", "measured", "CSF", "3.3", "Keep a receipt for each volume that is erased."),
    ("JUR-01", "Operating entity and governing law", "high", "attested", "CSF", "2.1", "Attest the operating entity."),
    ("KEY-01", "Encryption at rest", "critical", "measured", "SNC", "10.1", "Encrypt the pool with LUKS."),
    ("KEY-04", "TLS quality", "high", "measured", "GX", "P3.1.9", "Renew the certificate."),
    ("LOC-01", "Every host in an allowed country", "critical", "compared", "CSF", "3.4", "Move what runs there."),
    ("LOC-03", "Distance bound", "medium", "measured", "CSF", "3.4", "Correct the site's coordinates."),
    ("POR-02", "Import rehearsal", "medium", "measured", "DA", "30(1)", "Run the playbook exit_rehearsal."),
    ("SEC-05", HOSTILE["quotes"], "low", "attested", "CSF", "7.1", HOSTILE["long"]),
)


def finding(control: tuple[str, ...], site: str, host: str, result: str, reason: str, **more: Any) -> dict[str, Any]:
    """One finding with the evidence that its kind of control has."""
    name, title, severity, how, framework, clause, remedy = control
    subject = {"type": "site" if how == "attested" else "hypervisor", "name": site if how == "attested" else host, "site": site}
    fact: dict[str, Any] = {
        "how": "virStoragePoolGetXMLDesc",
        "data": {"pools": [{"name": "default", "encrypted": result == "pass"}]},
    }
    attested = {"claim": "governing_law", "value": "ES", "issuer": "Arsys", "issued": "2026-01-01", "expires": "2027-01-01"}
    return {
        "control": name,
        "title": title,
        "severity": severity,
        "how": how,
        "clauses": [{"framework": framework, "clause": clause, "source": "the framework's own text"}],
        "subject": subject,
        "result": result,
        "reason": reason,
        "offending": ["default"] if result == "fail" else [],
        "parameters": {"allowed_countries": ["ES", "DE"]},
        "evidence": {"attestation": attested} if how == "attested" else {"storage": fact},
        "remedy": remedy,
        "waiver": None,
        "waived": False,
        **more,
    }


def sample() -> dict[str, Any]:
    """Every result, a waived fail, an expired waiver, and hostile strings wherever somebody else wrote the text."""
    findings = []
    for number, control in enumerate(_CONTROLS):
        for place, site in enumerate(SITES):
            result = "pass" if (number * 3 + place) % 7 else RESULTS[1 + (number + place) % 4]
            reason = "It is as it should be." if result == "pass" else f"{control[1]}: it is not as it should be."
            findings.append(finding(control, str(site["name"]), f"kvm1.{site['name']}.example", result, reason))
    waiver = {
        "control": "KEY-01",
        "scope": {"site": [], "type": ["hypervisor"], "name": ["kvm2.arsys-*"]},
        "reason": HOSTILE["markup"],
        "owner": "Ana",
        "expires": "2026-12-20",
    }
    old = {
        "control": "KEY-04",
        "scope": {"site": ["bit-ede"], "type": [], "name": []},
        "reason": HOSTILE["control"],
        "owner": HOSTILE["quotes"],
        "expires": "2026-11-01",
    }
    host = "kvm2.arsys-logrono.example"
    findings += [
        finding(_CONTROLS[2], "arsys-logrono", host, "fail", "The pool default is not encrypted.", waiver=waiver, waived=True),
        finding(_CONTROLS[3], "bit-ede", "kvm2.bit-ede.example", "fail", "The waiver of Bo expired on 2026-11-01.", waiver=old),
        finding(
            _CONTROLS[4], "kontron-kranj", HOSTILE["markup"], "fail", HOSTILE["turned"], offending=[HOSTILE["control"], {"a": 1}]
        ),
        finding(_CONTROLS[5], "ionos-berlin", HOSTILE["control"], "not_assessed", HOSTILE["control"], evidence={}),
        finding(_CONTROLS[6], "ionos-berlin", HOSTILE["long"], "error", HOSTILE["template"]),
        finding(
            _CONTROLS[0],
            "bit-ede",
            HOSTILE["quotes"],
            "fail",
            HOSTILE["long"],
            evidence={HOSTILE["quotes"]: {"how": HOSTILE["markup"], "error": HOSTILE["control"]}},
        ),
    ]
    kept = {"before": "not_assessed", "after": "pass", "control": "KEY-04", "subject": findings[3]["subject"]}
    changes = {"previous": "2026-11-24T06:00:00Z", "new_fails": [_key(findings[-3])], "fixed": [_key(findings[0])], "other": [kept]}
    return report(
        findings, waivers=[{**waiver, "due": True, "expired": False}, {**old, "due": False, "expired": True}], changes=changes
    )


def large(hosts: int = 100, controls: int = 45) -> dict[str, Any]:
    """Findings of each host by each control."""
    findings = []
    for number in range(controls):
        control = (f"CTL-{number:02}", f"Control number {number}", "high", "measured", "CSF", "3.4", "Put it right.")
        for host in range(hosts):
            result = "pass" if (number + host) % 9 else RESULTS[1 + (number + host) % 4]
            findings.append(finding(control, str(SITES[host % 8]["name"]), f"kvm{host}.example", result, "It was seen so."))
    return report(findings)


def report(findings: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    ordered = sorted(
        findings, key=lambda one: (one["control"], one["subject"]["type"], one["subject"]["site"], one["subject"]["name"])
    )
    counts = Counter(one["result"] for one in ordered)
    objective = {
        "objective": "SOV-3",
        "title": "Data and AI sovereignty",
        "weight": 10,
        "passed": 17,
        "assessed": 25,
        "score": 0.68,
    }
    second = {"objective": "SOV-2", "title": "Legal and jurisdictional", "weight": 10, "passed": 6, "assessed": 7, "score": 0.8571}
    none = {"objective": "SOV-8", "title": "Environmental sustainability", "weight": 5, "passed": 0, "assessed": 0, "score": None}
    scores = [
        {
            "framework": "CSF",
            "title": "Cloud Sovereignty Framework, 2026",
            "source": "calculator of June 2026",
            "of": [second, objective, none],
            "score": 0.6144,
        }
    ]
    return {
        "schema": "virt8ra.federation/findings/1",
        "generated": "2026-11-25T12:00:00Z",
        "today": TODAY,
        "profile": {
            "name": "csf-2026",
            "title": "Cloud Sovereignty Framework, edition of 2026",
            "controls": sorted({one["control"] for one in ordered}),
        },
        "federation": "virt8ra",
        "sites": SITES,
        "links": LINKS,
        "summary": {**{result: counts[result] for result in RESULTS}, "waived": sum(one["waived"] for one in ordered)},
        "scores": scores,
        "findings": ordered,
        "waivers": [],
        "changes": {"previous": None, "new_fails": [], "fixed": [], "other": []},
        **more,
    }


def _key(one: dict[str, Any]) -> dict[str, Any]:
    return {"control": one["control"], "subject": one["subject"]}
