"""What a scheduler's surroundings learn of a run: events on standard error, metrics in a file, lineage."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from etl.cli import messages
from etl.telemetry.metrics import METRICS, PREFIX
from tests.commands import run, start_process
from tests.effort import thorough
from tests.records import LINE

LOG = (
    LINE.format("click_id=a&value=5&currency=EUR&transaction_id=t1")
    + LINE.format("click_id=b&value=7&currency=XX!&transaction_id=t1")
    + LINE.format("click_id=c&value=9&currency=bananas")
    + LINE.format("value=5")
    + LINE.replace("/collect/", "/else/")
)


class Finished(NamedTuple):
    """What a command has said."""

    stdout: str
    stderr: str


def command(*arguments: object, code: int = 0, **environment: str) -> Finished:
    finished = run(*arguments, code=code, env={**os.environ, **environment} if environment else None)
    return Finished(finished.stdout.decode(), finished.stderr.decode())


def events(finished: Finished) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in finished.stderr.splitlines()]
    for event in told:
        assert list(event)[:3] == ["ts", "level", "event"]
        assert datetime.fromisoformat(event["ts"]).utcoffset() is not None
    return told


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_text(LOG, encoding="utf-8")
    return path


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "warehouse"


# --- events ---------------------------------------------------------------------------------------------------


def test_a_run_is_told_as_events(log: Path, tmp_path: Path) -> None:
    told = events(command("run", log, "--out", tmp_path / "out", "--events", "json"))
    phases = [event["phase"] for event in told if event["event"] == "phase"]
    assert phases == ["surveying", "reading", "writing", "publishing"]
    assert [event["event"] for event in told if event["event"] != "phase"] == ["surveyed", "disk", "input", "done"]
    surveyed, _disk, found, done = (event for event in told if event["event"] != "phase")
    assert (surveyed["path"], surveyed["bytes"]) == (str(log), log.stat().st_size)
    assert (found["format"], found["records"]) == ("combined", 5)
    assert (done["records"], done["conversions"], done["rejections"]["total"]) == (5, 2, 2)
    assert done["value_total"] == {"EUR": "5", "bananas": "9"}


def test_a_format_of_the_log_may_be_said_beside_events_and_json_is_none(log: Path, tmp_path: Path) -> None:
    directive = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$a" "$b"'
    for asked in (["--log-format", "json"], ["--log-format=json"], ["--events", "json", "--log-format", directive]):
        (done,) = (
            event
            for event in events(command("run", log, "--out", tmp_path / "out", *asked))
            if event["event"] == "done"
        )
        assert done["records"] == 5


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "{log}.none", "--out", "{out}"], 1, "does not exist"),
        (["run", "{log}", "--out", "{out}", "--since", "soon"], 2, "--since 'soon' is not a time"),
        (["run", "{log}", "--out", "{out}", "--nonsense"], 2, "No such option: --nonsense"),
        (["run", "{log}"], 2, "Missing option '--out'"),
        (["load", "{log}", "--into", "{log}"], 2, "is not a warehouse"),
        (["backfill", "{{date:%Y}}.log", "--from", "2024-05-01", "--to", "2024-05-01", "--into", "{out}"], 1, "1 of 1"),
        (["loads", "forget", "x", "--into", "{out}"], 2, "is not a warehouse"),
        (["compact", "--into", "{out}"], 2, "is not a warehouse"),
    ],
)
def test_a_failure_is_one_event_and_the_last(
    arguments: list[str], code: int, words: str, log: Path, tmp_path: Path
) -> None:
    named = [argument.format(log=log, out=tmp_path / "out") for argument in arguments]
    *_, last = events(command(*named, "--events", "json", code=code))
    assert (last["event"], last["level"], last["exit_code"]) == ("failed", "error", code)
    assert words in last["error"]
    assert last["hint"]
    assert "traceback" not in last


def test_debug_gives_the_way_and_keeps_the_exit_code(log: Path, tmp_path: Path) -> None:
    asked = ["run", log, "--out", tmp_path, "--debug"]
    (last,) = events(command(*asked, "--events", "json", code=2))
    assert last["traceback"].startswith("Traceback")
    assert command(*asked, code=2).stderr.startswith("Traceback")


def test_a_defect_is_told_with_its_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(messages, "MODE", messages.Mode(is_json=True))
    assert messages.fail(KeyError("s3://key:secret@bucket")) == 1
    told = json.loads(capsys.readouterr().err)
    assert told["error"] == "KeyError: 's3://***@bucket'"
    assert "secret" not in told["traceback"]
    monkeypatch.setattr(messages, "MODE", messages.Mode())
    assert messages.fail(KeyError("x")) == 1
    assert capsys.readouterr().err == "KeyError: 'x'\n"


@pytest.mark.parametrize(
    ("arguments", "is_json"),
    [
        (["run", "--events", "json"], True),
        (["run", "--log-format=json"], True),
        (["run", "--events", "text"], False),
        (["run", "json", "--events"], False),
        (["run", "--", "--events", "json"], False),
        (["audit", "--json"], False),
    ],
)
def test_who_asks_for_events(arguments: list[str], is_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MODE", messages.Mode())
    messages.set_mode(arguments)
    assert messages.MODE.is_json == is_json


def test_warnings_and_exit_3_are_events(log: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.log").write_text(LOG, encoding="utf-8")
    asked = ["run", log, tmp_path / "copy.log", "--out", tmp_path / "out", "--max-rejected", "1", "--events", "json"]
    told = [event for event in events(command(*asked, "--quiet", code=3)) if event["level"] == "warning"]
    assert ["the same bytes" in told[0]["message"], told[-1]["exit_code"]] == [True, 3]


def test_a_load_a_backfill_and_forget_are_told_as_events(log: Path, into: Path, tmp_path: Path) -> None:
    told = events(command("load", log, "--into", into, "--events", "json"))
    assert [(event["action"], event["why"]) for event in told if event["event"] == "input"] == [("load", "it is new")]
    assert (told[-1]["event"], told[-1]["rejections_by_reason"]) == (
        "done",
        {"duplicate_transaction": 1, "missing_identity": 1},
    )
    log.rename(tmp_path / "2024-05-01.log")
    template = tmp_path / "{date:%Y-%m-%d}.log"
    told = events(
        command(
            *("backfill", template, "--from", "2024-05-01", "--to", "2024-05-02", "--into", into, "--events", "json"),
            code=1,
        )
    )
    days = [(event["day"], event["error"] is None) for event in told if event["event"] == "day"]
    assert days == [("2024-05-01", True), ("2024-05-02", False)]
    (done,) = (event for event in told if event["event"] == "done")
    assert (done["days"], done["days_failed"], done["records"]) == (2, 1, 0)
    assert events(command("loads", "forget", log, "--into", into, "--events", "json"))[-1]["event"] == "done"


def test_a_name_that_is_no_text_and_one_that_styles_are_told_safely(tmp_path: Path) -> None:
    for name in (b"caf\xe9.log", "\u202egol.log".encode(), b"a\x1b[31m.log"):
        path = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - as a user's shell hands it over
            file.write(LOG)
        finished = command("run", path, "--out", tmp_path / "out", "--summary", "-", "--events", "json")
        assert events(finished)[-1]["event"] == "done"
        assert json.loads(finished.stdout)["records"] == 5
        assert not {"\x1b", "\u202e"} & set(finished.stderr)


# --- metrics --------------------------------------------------------------------------------------------------


def samples(path: Path) -> dict[str, dict[str, float]]:
    """Values by name and by what tells them apart beside command and target."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
        assert (family.type, family.documentation != "") == ("gauge", True)
        for sample in family.samples:
            rest = {name: text for name, text in sample.labels.items() if name not in ("command", "target")}
            found.setdefault(sample.name.removeprefix(PREFIX), {})["".join(rest.values())] = sample.value
    return found


@pytest.mark.parametrize("verb", ["run", "load"])
def test_the_metrics_are_those_of_the_summary(verb: str, log: Path, tmp_path: Path) -> None:
    began = time.time()
    target = ["--out" if verb == "run" else "--into", tmp_path / "target"]
    finished = command(verb, log, *target, "--metrics", tmp_path / "m.prom", "--summary", "-", "-q")
    assert (finished.stderr, json.loads(finished.stdout)["records"]) == ("", 5)
    found = samples(tmp_path / "m.prom")
    assert (found["last_run_records"][""], found["last_run_conversions"][""]) == (5, 2)
    assert {reason: n for reason, n in found["last_run_rejections"].items() if n} == {
        "missing_identity": 1,
        "duplicate_transaction": 1,
    }
    assert found["last_run_skipped"] | {"not_a_postback": 1, "blank": 0} == found["last_run_skipped"]
    assert found["last_run_value"] == {"EUR": 5}  # not of currencies that senders make up
    assert (found["last_run_success"][""], found["last_run_exit_code"][""]) == (1, 0)
    assert found["last_run_timestamp_seconds"] == found["last_success_timestamp_seconds"]
    assert began <= found["last_run_timestamp_seconds"][""] <= time.time()
    assert found["last_run_peak_memory_bytes"][""] > 2**20
    assert sorted(path.name for path in tmp_path.iterdir() if "m.prom" in path.name) == ["m.prom"]
    assert stat.S_IMODE((tmp_path / "m.prom").stat().st_mode) & 0o444 == 0o444


def test_a_failure_is_in_the_metrics_and_the_last_success_stays(log: Path, tmp_path: Path) -> None:
    asked = ["--out", tmp_path / "out", "--metrics", tmp_path / "m.prom"]
    command("run", log, *asked, "--max-rejected", "0", code=3)
    before = samples(tmp_path / "m.prom")
    assert (before["last_run_success"][""], before["last_run_exit_code"][""]) == (1, 3)
    for arguments, code in ((["nowhere"], 1), ([log, "--since", "soon"], 2)):
        command("run", *arguments, *asked, code=code)
        found = samples(tmp_path / "m.prom")
        assert (found["last_run_success"][""], found["last_run_exit_code"][""]) == (0, code)
        assert found["last_success_timestamp_seconds"] == before["last_success_timestamp_seconds"]
        assert "last_run_records" not in found


def test_a_backfill_adds_its_days_up(log: Path, into: Path, tmp_path: Path) -> None:
    log.rename(tmp_path / "2024-05-01.log")
    (tmp_path / "2024-05-02.log").write_text(LINE.format("click_id=d&value=1&currency=EUR"), encoding="utf-8")
    days = ["--from", "2024-05-01", "--to", "2024-05-03", "--into", into, "--metrics", tmp_path / "m.prom"]
    command("backfill", tmp_path / "{date:%Y-%m-%d}.log", *days, code=1)
    found = samples(tmp_path / "m.prom")
    assert (found["last_run_days"][""], found["last_run_days_failed"][""], found["last_run_records"][""]) == (3, 1, 6)
    assert (found["last_run_value"], found["last_run_success"][""]) == ({"EUR": 6}, 0)
    assert "last_success_timestamp_seconds" not in found


def test_a_rehearsal_leaves_the_metrics_as_they_are(log: Path, into: Path, tmp_path: Path) -> None:
    command("load", log, "--into", into, "--dry-run", "--metrics", tmp_path / "m.prom")
    assert not (tmp_path / "m.prom").exists()


def test_metrics_that_cannot_be_written_are_known_before_or_a_warning(log: Path, tmp_path: Path) -> None:
    asked = ["run", log, "--out", tmp_path / "out", "--metrics"]
    assert "names a folder that does not exist" in command(*asked, tmp_path / "no" / "m.prom", code=2).stderr
    (tmp_path / "m.prom").mkdir()
    assert "warning: --metrics" in command(*asked, tmp_path / "m.prom", "-q").stderr


def test_metrics_are_named_as_prometheus_asks() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert [name for name in names if name.endswith(("_total", "_count", "_sum", "_bucket", "_info"))] == []
    assert [metric.name for metric in METRICS if not metric.meaning.endswith(".")] == []


# --- lineage --------------------------------------------------------------------------------------------------


class Backend(ThreadingHTTPServer):
    """A backend of OpenLineage's HTTP protocol, which keeps what it is sent."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.status = 201
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Backend

    def do_POST(self) -> None:
        assert self.path == "/api/v1/lineage"
        self.server.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.headers.append(dict(self.headers))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def states(sent: list[dict[str, Any]]) -> list[str]:
    assert len({event["run"]["runId"] for event in sent}) == len(sent) / 2
    return [event["eventType"] for event in sent]


def test_lineage_of_a_run_in_a_file(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "lineage.jsonl"
    for _ in range(2):  # which grows
        command("run", log, "--out", tmp_path / "out", "--openlineage", file)
    sent = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert states(sent) == ["START", "COMPLETE", "START", "COMPLETE"]
    start, complete = sent[:2]
    assert {event["job"]["name"] for event in sent} == {f"postback-etl.run.{tmp_path}/out"}
    assert (start["inputs"], complete["job"]["namespace"]) == ([], "default")
    (read,) = complete["inputs"]
    assert (read["namespace"], read["name"]) == ("file", str(log))
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == 5
    written = {Path(one["name"]).name: one for one in complete["outputs"]}
    assert {one["namespace"] for one in written.values()} == {"file"}
    assert {name: one["outputFacets"]["outputStatistics"]["rowCount"] for name, one in written.items()} == {
        "conversions": 2,
        "items": 0,
        "passthroughs": 0,
        "rejections": 2,
    }
    fields = {one["name"]: one["type"] for one in written["conversions"]["facets"]["schema"]["fields"]}
    assert (fields["value"], fields["received_at"]) == ("Decimal(38, 9)", "Datetime(us, UTC)")


def test_lineage_of_loads_to_a_server(log: Path, into: Path, backend: Backend, tmp_path: Path) -> None:
    parent = f"airflow/dag.task/{'0' * 8}-0000-7000-8000-{'0' * 12}"
    command("load", log, "--into", into, "--openlineage", backend.url, OPENLINEAGE_PARENT_ID=parent)
    command("load", log, "--into", into, OPENLINEAGE_URL=backend.url, OPENLINEAGE_NAMESPACE="etl")
    command("load", tmp_path / "none", "--into", into, "--openlineage", backend.url, code=1)
    assert states(backend.events) == ["START", "COMPLETE", "START", "COMPLETE", "START", "FAIL"]
    _, first, _, again, _, failed = backend.events
    assert [one["name"] for one in first["inputs"]] == [str(log)]
    assert first["run"]["facets"]["parent"]["job"]["name"] == "dag.task"
    assert (again["inputs"], again["job"]["namespace"]) == ([], "etl")  # what is loaded already is not read
    assert failed["run"]["facets"]["errorMessage"]["message"] == f"{tmp_path}/none does not exist."


def test_lineage_of_each_day_of_a_backfill(log: Path, into: Path, backend: Backend, tmp_path: Path) -> None:
    log.rename(tmp_path / "2024-05-01.log")
    days = ["--from", "2024-05-01", "--to", "2024-05-02", "--into", into, "--openlineage", backend.url]
    command("backfill", tmp_path / "{date:%Y-%m-%d}.log", *days, code=1)
    assert states(backend.events) == ["START", "COMPLETE", "START", "FAIL"]


def test_lineage_as_the_client_is_configured(log: Path, tmp_path: Path) -> None:
    config = tmp_path / "openlineage.yml"
    config.write_text(
        f"transport:\n  type: file\n  log_file_path: {tmp_path / 'events'}\n  append: true\n", encoding="utf-8"
    )
    asked = ["run", log, "--out", tmp_path / "out"]
    assert command(*asked, "-q", OPENLINEAGE_CONFIG=str(config)).stderr == ""
    assert len((tmp_path / "events").read_text(encoding="utf-8").splitlines()) == 2
    command(*asked, OPENLINEAGE_CONFIG=str(config), OPENLINEAGE_DISABLED="true")
    assert len((tmp_path / "events").read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize("home", [None, "/" + "x" * 300])
def test_a_home_that_is_not_there_or_cannot_be_looked_into_is_no_error(
    home: str | None, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(user: int) -> None:
        raise KeyError(user)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    for arguments in (["run", log, "--out", tmp_path / "out"], ["load", log, "--into", tmp_path / "warehouse"]):
        run(*arguments, "-q", env=environment | ({} if home is None else {"HOME": home}))


@pytest.mark.parametrize("is_json", [True, False])
def test_a_backend_that_is_down_or_broken_is_a_warning(
    is_json: bool, log: Path, backend: Backend, tmp_path: Path
) -> None:
    backend.status = 400
    asked = ["run", log, "--out", tmp_path / "out", *(["--events", "json"] if is_json else ["-q"])]
    for url in ("http://127.0.0.1:9", backend.url, "gopher://127.0.0.1", str(tmp_path / "no" / "folder")):
        finished = command(*asked, "--openlineage", url)
        warned = [line for line in finished.stderr.splitlines() if "OpenLineage" in line]
        assert len(warned) == 1
        assert "The run goes on." in warned[0]
        if is_json:
            assert events(finished)[-1]["event"] == "done"
        else:
            assert finished.stderr == warned[0] + "\n"
    assert len(backend.events) == 1  # a broken one is asked once


def test_a_run_that_is_stopped_says_so_to_all(tmp_path: Path) -> None:
    asked = [
        "--out",
        tmp_path / "out",
        "--events",
        "json",
        "--metrics",
        tmp_path / "m",
        "--openlineage",
        tmp_path / "o",
    ]
    process = start_process("run", "-", *asked, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lock = tmp_path / ".out.staging" / "lock"
    while not lock.exists() or lock.read_text(encoding="utf-8") != str(process.pid):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    told = [json.loads(line) for line in process.communicate()[1].splitlines()]
    assert (process.returncode, told[-1]["error"]) == (1, "Interrupted: nothing was published.")
    assert samples(tmp_path / "m")["last_run_exit_code"][""] == 1
    sent = [json.loads(line) for line in (tmp_path / "o").read_text(encoding="utf-8").splitlines()]
    assert states(sent) == ["START", "ABORT"]


def test_a_run_that_waits_for_a_silent_backend_can_be_stopped(log: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        words = ("run", log, "--out", tmp_path / "out", "--openlineage", url)
        process = start_process(*words, stderr=subprocess.PIPE, text=True)
        with silent.accept()[0]:
            process.send_signal(signal.SIGTERM)
            assert process.communicate()[1].startswith("error: Interrupted: nothing was published.")
    assert process.returncode == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "library", "extra"),
    [
        ("--metrics", "prometheus_client", "metrics"),
        pytest.param("--openlineage", "openlineage", "lineage", marks=thorough),
    ],
)
def test_a_library_that_is_missing_is_named(option: str, library: str, extra: str, log: Path, tmp_path: Path) -> None:
    script = f"import sys; sys.modules[{library!r}] = None\nfrom etl.cli import main\nmain()"
    asked = ["run", log, "--out", tmp_path / "out", option, tmp_path / "file"]
    finished = subprocess.run(
        [sys.executable, "-c", script, *map(str, asked)], capture_output=True, check=False, text=True
    )
    assert (finished.returncode, f"postback-etl[{extra}]" in finished.stderr) == (2, True)
    assert not (tmp_path / "out").exists()
