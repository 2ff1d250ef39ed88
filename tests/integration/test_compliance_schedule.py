# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role compliance_schedule on a real systemd, with the real ansible-runner and a webhook that listens."""

from __future__ import annotations

import hashlib
import hmac
import json
import time

import pytest

from .schedule_host import SITE, ScheduleHost, own_name

pytestmark = pytest.mark.slow

TOKEN, SECRET = "t0ken-of-the-test", "s3cret-of-the-test"
HOSTILE = 'kvm"1\\\n{{ 7*7 }} $(touch /srv/site/pwned) %n'
METRICS = "/var/lib/node-exporter/virt8ra_compliance.prom"
STATE = "/var/lib/virt8ra/compliance"
SERVICE, TIMER = "virt8ra-compliance.service", "virt8ra-compliance.timer"
OPTIONS = {
    "inventory": ["/dev/null"],
    "metrics_file": METRICS,
    "keep_runs": 3,
    "webhook_url": "http://127.0.0.1:8099/hook",
    "webhook_token": TOKEN,
    "webhook_secret": SECRET,
    "environment": {"VIRT8RA_TEST": 'a "b" \\ $c `d`', "ANSIBLE_HOME": "/var/lib/virt8ra/compliance/ansible"},
    "extra_vars": {"fail_on": "high"},
}


@pytest.fixture(scope="module")
def host():
    """The role, installed."""
    host = ScheduleHost(own_name())
    try:
        host.start()
        foreseen = host.apply(check=True, **OPTIONS)
        assert foreseen["changed"]
        assert host.status("test -e /etc/virt8ra -o -e /usr/local/lib/virt8ra-compliance -o -e /var/lib/virt8ra") != 0
        assert host.apply(**OPTIONS)["changed"]
        yield host
    finally:
        host.remove()


def finding(control, name="kvm1"):
    subject = {"type": "hypervisor", "name": name, "site": "rioja"}
    return {
        "control": control,
        "title": "t",
        "severity": "high",
        "subject": subject,
        "result": "fail",
        "reason": name,
        "waived": False,
    }


def prepare(host, *findings, report=True, fail=False, told=True, answer=204):
    """What the next run finds, and how it ends."""
    given = {"compliance_verdict": "fail" if fail else "pass", "compliance_summary": {"fail": len(findings)}}
    host.write(
        f"{SITE}/findings.json", json.dumps({"federation": "f", "generated": "2026-11-25T12:00:00Z", "findings": list(findings)})
    )
    host.write(f"{SITE}/next.json", json.dumps({"report": report, "fail": fail, "told": given if told else {}}))
    host.write(f"{SITE}/answer", str(answer))
    host.run(f"rm -f {SITE}/told.jsonl {SITE}/hold")


def run(host):
    """Exit status of one run by the service."""
    host.status(f"systemctl start {SERVICE}")
    shown = host.run(f"systemctl show {SERVICE} --property=ExecMainStatus --value")
    host.status(f"systemctl reset-failed {SERVICE}")
    return int(shown)


def told(host):
    text = host.run(f"cat {SITE}/told.jsonl 2>/dev/null || true")
    return [json.loads(line) for line in text.splitlines()]


def runs(host):
    return sorted(host.run(f"ls {STATE}/artifacts").split())


def wait(host, shell_command):
    for _attempt in range(240):
        if host.status(shell_command) == 0:
            return
        time.sleep(0.5)
    raise AssertionError(shell_command)


def test_a_second_run_of_the_role_changes_nothing(host):
    assert not host.apply(**OPTIONS)["changed"]
    assert not host.apply(check=True, **OPTIONS)["changed"]


def test_the_units_are_whole_and_the_timer_waits(host):
    assert host.run(f"systemd-analyze verify {SERVICE} {TIMER} 2>&1 | grep compliance || true") == ""
    assert host.run(f"systemctl is-active {TIMER}") == "active"
    assert host.run(f"systemctl is-enabled {TIMER}") == "enabled"
    assert host.run(f"systemctl show {TIMER} --property=NextElapseUSecRealtime --value").split()[2] >= "04:30:00"


def test_a_run_leaves_report_artefacts_and_metrics_and_tells_the_webhook_once(host):
    prepare(host, finding("A-1", HOSTILE), finding("A-2"), fail=True)
    assert run(host) == 1
    assert run(host) == 1
    messages = told(host)
    assert len(messages) == 1
    headers, body = messages[0]["headers"], messages[0]["body"]
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["x-virt8ra-signature"] == "sha256=" + hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
    assert {one["subject"]["name"] for one in json.loads(body)["new_fails"]} == {HOSTILE, "kvm1"}
    assert 'virt8ra_compliance_findings{result="fail"} 2' in host.run(f"cat {METRICS}").splitlines()
    newest = f"{STATE}/artifacts/{runs(host)[-1]}"
    assert host.run(f"cat {newest}/rc") == "2"
    assert json.loads(host.run(f"cat {newest}/report/findings.json"))["federation"] == "f"
    assert '"compliance_summary": {"fail": 2}' in host.run(f"journalctl --unit={SERVICE} --output=cat --no-pager")
    assert host.status(f"test -e {SITE}/pwned") != 0


def test_secrets_are_read_by_their_owner_only_and_shown_nowhere(host):
    folder = "/etc/virt8ra/compliance"
    modes = host.run(f"stat -c '%a %n' {folder}/webhook-token {folder}/webhook-secret {folder}/environment {folder}/schedule.json")
    assert {line.split()[0] for line in modes.splitlines()} == {"600"}
    shown = host.apply(**OPTIONS)["shown"] + host.run("journalctl --output=cat --no-pager")
    assert TOKEN not in shown
    assert SECRET not in shown
    assert host.status(f"grep -rqE '{TOKEN}|{SECRET}' {STATE}") != 0
    given = host.run(f"systemd-run --pipe --quiet --property=EnvironmentFile={folder}/environment sh -c 'printenv VIRT8RA_TEST'")
    assert given == OPTIONS["environment"]["VIRT8RA_TEST"]


def test_what_the_webhook_refused_is_told_after_the_next_run(host):
    prepare(host, finding("B-1"), answer=503)
    assert run(host) == 2
    host.write(f"{SITE}/answer", "204")
    assert run(host) == 0
    assert [len(json.loads(one["body"])["new_fails"]) for one in told(host)] == [1, 1]


def test_a_fault_of_the_playbook_is_told_apart_from_findings(host):
    prepare(host, finding("A-1"), report=False, fail=True, told=False)
    assert run(host) == 2
    metrics = host.run(f"cat {METRICS}")
    assert 'run_status{status="error"} 1' in metrics
    assert "virt8ra_compliance_findings" not in metrics


def test_two_runs_never_go_at_once_and_a_killed_one_holds_nobody_up(host):
    prepare(host, finding("A-1"))
    host.run(f"touch {SITE}/hold; systemctl start --no-block {SERVICE}")
    wait(host, f"grep -q since {STATE}/lock")
    by_hand = "systemctl cat virt8ra-compliance.service | sed -n 's/^ExecStart=//p'"
    assert host.status(f"PYTHONPATH=/usr/local/lib/virt8ra-compliance $({by_hand})") == 75
    wait(host, f"ls {STATE}/artifacts/*/job_events/*.json")
    host.run(f"systemctl kill --signal=KILL {SERVICE}")
    wait(host, f"systemctl is-failed {SERVICE}")
    host.run(f"systemctl reset-failed {SERVICE}; rm {SITE}/hold")
    assert run(host) == 0


def test_old_runs_go(host):
    prepare(host, finding("A-1"))
    for _attempt in range(4):
        assert run(host) == 0
    assert len(runs(host)) == 3


def test_the_timer_begins_a_run(host):
    prepare(host, finding("A-1"))
    before = runs(host)[-1]
    assert host.apply(**OPTIONS, on_calendar="*:*:0/2", randomized_delay="0")["changed"]
    wait(host, f"ls {STATE}/artifacts | sort | tail -n 1 | grep -v {before}")
    host.apply(**OPTIONS, enabled=False)
    assert host.run(f"systemctl is-active {TIMER} || true") == "inactive"


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"on_calendar": "every morning"}, "compliance_schedule_on_calendar=every morning"),
        ({"webhook_url": "http://example.org/"}, "compliance_schedule_webhook_url is http://example.org/"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_input_is_refused_before_anything_is_touched(host, change, wrong):
    digest = "cat /etc/systemd/system/virt8ra-compliance.* /etc/virt8ra/compliance/* | sha256sum"
    before = host.run(digest)
    attempt = host.attempt(**{**OPTIONS, **change})
    assert attempt["rc"] != 0
    assert wrong in " ".join(attempt["shown"].split())
    assert host.run(digest) == before


def test_absent_leaves_reports_and_nothing_else(host):
    assert host.apply(state="absent", metrics_file=METRICS)["changed"]
    left = host.run(
        f"find /usr/local/lib/virt8ra-compliance /etc/virt8ra /etc/systemd/system/virt8ra* {METRICS} -type f 2>/dev/null || true"
    )
    assert left == ""
    assert host.status(f"systemctl cat {TIMER}") != 0
    assert host.status(f"test -e {STATE}/report/findings.json") == 0
    assert not host.apply(state="absent", metrics_file=METRICS)["changed"]
