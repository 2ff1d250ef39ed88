# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program of the role compliance_schedule: what is new, what is measured, what is kept, who is told, and one run at a time."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import re
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

FILES = Path(__file__).parents[3] / "roles" / "compliance_schedule" / "files"
sys.path.insert(0, str(FILES))
from compliance_run import __main__ as program
from compliance_run import config, keeping, metrics, outcome, storing, webhook
from compliance_run.playing import Played

sys.path.remove(str(FILES))

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
HOSTILE = 'kvm"1\\\n{{ 7*7 }} # TYPE x counter\n"} 1 <script>\udce9'
RUN = metrics.Run("findings", 1764072000.0, 61.25, 1764072000.0, 2)


def finding(control="KEY-01", name="kvm1", result="fail", severity="high", site="rioja", **more):
    subject = {"type": "hypervisor", "name": name, "site": site}
    return {"control": control, "subject": subject, "result": result, "severity": severity, "waived": False, "evidence": {}, **more}


def report(*findings, **more):
    return {
        "federation": "example",
        "generated": "2026-11-25T12:00:00Z",
        "findings": list(findings),
        "summary": {"fail": 1},
        **more,
    }


# What is new


def test_only_fails_that_nobody_waived_or_was_told_of_are_news():
    known, waived, fine = finding("A-1"), finding("A-2", waived=True), finding("A-3", result="pass")
    fresh, gravest = finding("A-4", severity="low"), finding("A-5", severity="critical")
    told = [outcome.key(known)]
    assert outcome.news(report(known, waived, fine, fresh, gravest), told) == [gravest, fresh]


def test_what_was_mended_is_news_when_it_comes_back():
    told = [outcome.key(finding("A-1")), outcome.key(finding("A-2"))]
    assert outcome.still_known(report(finding("A-1", result="pass"), finding("A-2")), told) == [outcome.key(finding("A-2"))]


def test_no_name_imitates_another_key():
    assert outcome.key(finding(name='a", "b')) != outcome.key(finding(name="a", site="b"))


def test_a_message_has_no_evidence_and_an_end():
    many = [finding(f"A-{number}", evidence={"secret": 1}) for number in range(outcome.MOST_TOLD + 5)]
    message = outcome.message(report(*many), many)
    assert (len(message["new_fails"]), message["more"]) == (outcome.MOST_TOLD, 5)
    assert "evidence" not in json.dumps(message)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"findings": []}', '{"findings": [1]}', '{"findings": {}}'])
def test_what_is_no_report_is_refused(text):
    with pytest.raises(outcome.ReportError):
        outcome.parse(text)


# Metrics


SAMPLE = re.compile(r'(virt8ra_compliance_[a-z_]+)(\{(?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (-?[0-9.e+]+|NaN)')


def samples(text):
    """As the collector reads them: ``{name+labels: value}``; every line is one, or a comment before its metric."""
    found = {}
    for line in text.splitlines():
        if line.startswith("# "):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        key = match.group(1) + (match.group(2) or "")
        assert key not in found, "the collector refuses a file that says it twice"
        found[key] = float(match.group(3))
    return found


def test_metrics_count_what_the_report_has():
    whole = report(
        finding(),
        finding("A-2", waived=True),
        finding("A-3", result="pass"),
        waivers=[{"due": True, "expired": False}, {"due": False, "expired": True}],
        scores=[{"framework": "CSF", "score": 0.5}, {"framework": "CSF", "score": 0.7}, {"framework": "C3A", "score": None}],
    )
    told = samples(metrics.text(RUN, whole))
    assert told['virt8ra_compliance_findings{result="fail"}'] == 2
    assert told['virt8ra_compliance_findings{result="error"}'] == 0
    assert told['virt8ra_compliance_failing{site="rioja",severity="high"}'] == 1
    assert (
        told["virt8ra_compliance_waived"]
        == told["virt8ra_compliance_waivers_due"]
        == told["virt8ra_compliance_waivers_expired"]
        == 1
    )
    assert told['virt8ra_compliance_score{framework="CSF"}'] == 0.5
    assert told['virt8ra_compliance_run_status{status="findings"}'] == 1
    assert told["virt8ra_compliance_run_seconds"] == 61.25


def test_a_run_without_a_report_shows_no_old_figures():
    assert not [name for name in samples(metrics.text(RUN, None)) if "findings{" in name]


def test_hostile_names_stay_labels():
    whole = report(finding(site=HOSTILE, severity=HOSTILE), scores=[{"framework": HOSTILE, "score": float("nan")}])
    text = metrics.text(RUN, whole)
    text.encode("utf-8")
    assert len(samples(text)) == len(samples(metrics.text(RUN, report(finding(), scores=[{"framework": "x", "score": 1.0}]))))
    assert [line for line in text.splitlines() if line.startswith("# TYPE")] == [
        line for line in text.splitlines() if re.fullmatch(r"# TYPE virt8ra_compliance_[a-z_]+ gauge", line)
    ]


# What is kept


def runs(*ages):
    return [keeping.name(NOW - timedelta(days=days), 7) for days in ages]


def test_the_newest_stay_and_the_old_go():
    names = runs(0, 1, 2, 3, 100)
    assert keeping.to_remove([*names, "notes", "20260101T000000Z-x"], NOW, 3, 0) == [names[4], names[3]]
    assert keeping.to_remove(names, NOW, 10, 90) == [names[4]]


def test_the_newest_stays_whatever_its_age():
    names = runs(400, 500)
    assert keeping.to_remove(names, NOW, 0, 1) == [names[1]]


# Files and the lock


def test_a_second_run_is_refused_while_the_first_goes_on(tmp_path):
    with (
        storing.alone(tmp_path / "lock"),
        pytest.raises(storing.BusyError, match="under way"),
        storing.alone(tmp_path / "lock"),
    ):
        pass
    with storing.alone(tmp_path / "lock"):
        pass


def test_a_run_that_was_killed_holds_nobody_up(tmp_path):
    code = f"import sys, time; sys.path.insert(0, {str(FILES)!r}); from pathlib import Path; from compliance_run import storing\n"
    code += f"with storing.alone(Path({str(tmp_path / 'lock')!r})):\n print('held', flush=True)\n time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(storing.BusyError, match=str(holder.pid)), storing.alone(tmp_path / "lock"):
                pass
        finally:
            holder.kill()
    with storing.alone(tmp_path / "lock"):
        pass


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    target = tmp_path / "metrics.prom"
    storing.write(target, "old\n", 0o644)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storing.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        storing.write(target, "new\n", 0o644)
    assert target.read_text() == "old\n"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.prom"]
    assert target.stat().st_mode & 0o777 == 0o644


# Who is told


@pytest.fixture
def listener():
    """``(url, requests, answer)``: a web server on loopback; ``answer`` holds the status and headers that it gives."""
    requests, answer = [], {"status": 204, "headers": {}}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.path, self.headers, body))
            self.send_response(answer["status"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", requests, answer
        server.shutdown()
        thread.join()


def test_the_body_is_signed_and_hostile_names_are_text(listener):
    url, requests, _answer = listener
    webhook.tell(url, outcome.message(report(finding(name=HOSTILE)), [finding(name=HOSTILE)]), "t0ken", "s3cret", 10)
    path, headers, body = requests[0]
    assert path == "/hook"
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["X-Virt8ra-Signature"] == "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert json.loads(body)["new_fails"][0]["subject"]["name"] == HOSTILE


def test_a_redirect_takes_the_token_nowhere(listener):
    url, requests, answer = listener
    answer.update(status=307, headers={"Location": url + "/elsewhere"})
    with pytest.raises(webhook.WebhookError, match="answered 307"):
        webhook.tell(url, {}, "t0ken", None, 10)
    assert [path for path, _headers, _body in requests] == ["/hook"]


@pytest.mark.parametrize("url", ["http://example.org/hook", "ftp://example.org", "https://", "file:///etc/passwd", "hook"])
def test_only_tls_leaves_this_machine(url):
    with pytest.raises(webhook.WebhookError, match="webhook_url"):
        webhook.check(url)


@pytest.mark.parametrize(
    ("text", "mode", "wrong"), [("x", 0o644, "chmod 0600"), ("", 0o600, "empty"), ("a\nb", 0o600, "more than one line")]
)
def test_a_secret_that_is_none_is_refused(tmp_path, text, mode, wrong):
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(config.ConfigError, match=wrong):
        config.secret("webhook_token_file", str(path))
    with pytest.raises(config.ConfigError, match="cannot be read"):
        config.secret("webhook_token_file", str(tmp_path / "none"))


# One run


@pytest.fixture
def place(tmp_path, monkeypatch, listener):
    """``(config path, play)``: a host's folders; ``play`` holds what the next playbook writes, tells and returns."""
    for name in ("state", "report"):
        (tmp_path / name).mkdir()
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    token.chmod(0o600)
    given = {
        **{"playbook": "virt8ra.federation.compliance", "inventory": ["/dev/null"], "extra_vars": {}},
        **{"report_dir": str(tmp_path / "report"), "state_dir": str(tmp_path / "state"), "metrics_file": str(tmp_path / "m.prom")},
        **{"keep_runs": 2, "keep_days": 0, "timeout": 0, "webhook_url": listener[0], "webhook_timeout": 10},
        **{"webhook_token_file": str(token), "webhook_secret_file": ""},
    }
    path = tmp_path / "schedule.json"
    path.write_text(json.dumps(given))
    play = {"report": report(finding()), "played": Played("successful", 0, {"compliance_verdict": "pass"})}

    def run(_config, run):
        (tmp_path / "state" / "artifacts" / run).mkdir(parents=True, exist_ok=True)
        if play["report"] is not None:
            storing.write(tmp_path / "report" / "findings.json", json.dumps(play["report"]), 0o644)
        return play["played"]

    monkeypatch.setattr(program, "play", run)
    return path, play


def test_a_fail_is_told_once(place, listener, tmp_path):
    path, play = place
    play["played"] = Played("failed", 2, {"compliance_verdict": "fail"})
    assert [program.main([str(path)]), program.main([str(path)])] == [program.FINDINGS, program.FINDINGS]
    assert len(listener[1]) == 1
    assert samples((tmp_path / "m.prom").read_text())['virt8ra_compliance_run_status{status="findings"}'] == 1


def test_what_could_not_be_told_is_told_the_next_time(place, listener):
    path, _play = place
    listener[2]["status"] = 500
    assert program.main([str(path)]) == program.ERROR
    listener[2]["status"] = 200
    assert program.main([str(path)]) == program.CLEAN
    assert program.main([str(path)]) == program.CLEAN
    assert len(listener[1]) == 2


def test_an_old_report_is_not_taken_for_a_new_one(place, tmp_path, capsys):
    path, play = place
    assert program.main([str(path)]) == program.CLEAN
    play.update(report=None, played=Played("failed", 4, {"other": 1}))
    assert program.main([str(path)]) == program.ERROR
    assert "wrote no report" in capsys.readouterr().err
    told = samples((tmp_path / "m.prom").read_text())
    assert told['virt8ra_compliance_run_status{status="error"}'] == 1
    assert told["virt8ra_compliance_last_report_timestamp_seconds"] > 0
    assert 'virt8ra_compliance_findings{result="fail"}' not in told


def test_a_fault_of_the_playbook_is_no_finding(place):
    path, play = place
    play["played"] = Played("failed", 2)
    assert program.main([str(path)]) == program.ERROR


def test_a_report_of_the_same_bytes_is_this_runs_as_well(place):
    path, play = place
    assert program.main([str(path)]) == program.CLEAN
    play.update(report=None)
    assert program.main([str(path)]) == program.CLEAN


def test_each_run_keeps_its_report_and_the_oldest_go(place, tmp_path, monkeypatch):
    path, _play = place
    wanted = runs(3, 2, 1)
    names = iter(wanted)
    monkeypatch.setattr(keeping, "name", lambda *_: next(names))
    for _time in range(3):
        program.main([str(path)])
    kept = sorted((tmp_path / "state" / "artifacts").iterdir())
    assert [one.name for one in kept] == [wanted[1], wanted[2]]
    assert all((one / "report" / "findings.json").exists() for one in kept)


def test_a_run_beside_another_does_nothing(place, tmp_path, listener, capsys):
    path, _play = place
    with storing.alone(tmp_path / "state" / "lock"):
        assert program.main([str(path)]) == program.BUSY
    assert "under way" in capsys.readouterr().err
    assert not listener[1]


@pytest.mark.parametrize("change", [{"webhook_url": "http://example.org"}, {"report_dir": "/nowhere"}, {"surprise": 1}])
def test_a_wrong_configuration_is_refused_before_the_playbook_runs(place, tmp_path, capsys, change):
    path, _play = place
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert program.main([str(path)]) == program.ERROR
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "state" / "artifacts").exists()
