"""Patterns and tables of users: what explodes there ends in an error, not in a hang."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

import etl
from etl.errors import EtlError, FormatError
from etl.sources import time_limits
from tests.commands import assert_refused, run
from tests.records import log

#: A format of many variables that may hold blanks, and a line with many blanks that is not in it.
VARIABLES = " ".join(f"$own_{number}" for number in range(16)) + ' [$time_local] "$request"'
BLANKS = b"a " * 120 + b"\n"
IN_FORMAT = b"x " * 16 + b'[01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a HTTP/1.1"\n'


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the limit at a fraction of a second."""
    monkeypatch.setattr(time_limits, "_SECONDS", 0.4)
    monkeypatch.setattr(time_limits, "_TICK_SECONDS", 0.1)


@pytest.mark.parametrize("first", [b"", IN_FORMAT * 2_000], ids=["in the sample", "behind the sample"])
def test_a_log_format_that_explodes_is_an_error(first: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(first + BLANKS)
    began = time.process_time()
    refused = run("run", tmp_path / "a.log", "--out", tmp_path / "out", "--log-format", VARIABLES, "--quiet", code=2)
    assert_refused(refused, "a.log: a pattern of --log-format or --formats took more than")
    assert time.process_time() - began < 20
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


@pytest.mark.parametrize("command", ["run", "inspect", "load"])
def test_a_format_of_ones_own_that_explodes_is_an_error(command: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[own]\npattern = '(?P<target>(?:/?[a-z]+/?)+)=(?P<status>[0-9]+)'\n")
    (tmp_path / "a.log").write_bytes(b"/collect/a=200\n" * 2_000 + b"/" + b"a" * 60 + b"?\n")
    where = {"run": ("--out", tmp_path / "out"), "load": ("--into", tmp_path / "wh"), "inspect": ("--full",)}[command]
    refused = run(command, tmp_path / "a.log", *where, "--formats", tmp_path / "own.toml", "--format", "own", code=None)
    assert refused.returncode == 2
    assert b"took more than" in refused.stderr


def test_a_format_that_is_only_slow_to_match_nothing_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(IN_FORMAT * 50)
    assert etl.run([tmp_path / "a.log"], tmp_path / "out", log_format=VARIABLES)["conversions"] == 50


def test_outside_the_main_thread_there_is_no_limit_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(log(0, 5))
    summaries: list[int] = []

    def work() -> None:
        found = etl.run([tmp_path / "a.log"], tmp_path / "out", log_format="combined")
        summaries.append(found["conversions"])

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert summaries == [5]


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 5_000, "a." * 3_000 + "a = 1", "[a]\npattern = '" + "(" * 5_000 + "'", "a = " + "9" * 6_000],
    ids=["nested arrays", "nested keys", "nested groups", "a long number"],
)
@pytest.mark.parametrize("option", ["--formats", "--ruleset"])
def test_a_table_that_is_nested_without_end_is_wrong_usage(text: str, option: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(text)
    (tmp_path / "a.log").write_bytes(log(0, 5))
    words = (option, tmp_path / "own.toml", "--quiet")
    assert_refused(run("run", tmp_path / "a.log", "--out", tmp_path / "out", *words, code=2), "own.toml")


@pytest.mark.parametrize("status", ["²", "9" * 6_000, "99999999999"])
def test_a_status_that_is_no_number_of_http_raises_nothing(status: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[own]\npattern = '(?P<target>\\S+) (?P<status>\\S+)'\n")
    (tmp_path / "a.log").write_text(f"/acme/collect/shop?click_id=a {status}\n")
    words = {"formats": tmp_path / "own.toml", "format": "own"}
    assert etl.run([tmp_path / "a.log"], tmp_path / "out", **words)["conversions"] == 1  # type: ignore[arg-type]


def test_a_device_as_a_ruleset_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(log(0, 5))
    for option in ("--ruleset", "--formats"):
        refused = run("run", tmp_path / "a.log", "--out", tmp_path / "out", option, "/dev/zero", code=2)
        assert b"/dev/zero" in refused.stderr
    assert issubclass(FormatError, EtlError)
