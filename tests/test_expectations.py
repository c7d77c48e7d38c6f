"""A load with fewer postbacks than the same weekdays before: by integration, for logs of any rotation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.commands import assert_refused, run

LINE = '192.0.2.7 - - [{:%d/%b/%Y:%H:%M:%S} +0000] "GET /acme/collect/{}?click_id=a HTTP/1.1" 200 2 "-" "-"\n'
TUESDAY = datetime(2024, 5, 28, 6, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def log(path: Path, since: datetime, until: datetime, *slugs: str, minutes: int = 30) -> Path:
    times = (since + timedelta(minutes=number) for number in range(0, int((until - since) / DAY * 1440), minutes))
    path.write_text("".join(LINE.format(at, slug) for at in times for slug in slugs), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three weeks of daily logs that rotate at 6:30, of which the days beside a Tuesday have twice as many."""
    logs = tmp_path_factory.mktemp("before")
    for number in range(7, 24):
        since = TUESDAY - number * DAY
        log(logs / f"{number:02}.log", since, since + DAY, "shop", "rare", minutes=30 if number % 7 == 0 else 15)
    run("load", logs, "--into", logs.parent / "weeks", "-q")
    return logs.parent / "weeks"


@pytest.fixture
def warehouse(weeks: Path, tmp_path: Path) -> Path:
    return shutil.copytree(weeks, tmp_path / "warehouse")


def load(path: Path, warehouse: Path, *options: str, code: int = 0) -> tuple[list[str], list[dict[str, object]]]:
    report = run("load", path, "--into", warehouse, "-q", "--summary", "-", *options, code=code)
    warnings = [line for line in report.stderr.decode().splitlines() if "same weekdays" in line]
    return warnings, json.loads(report.stdout).get("expected", [])


def test_a_log_like_those_of_the_same_weekday_is_enough(warehouse: Path, tmp_path: Path) -> None:
    night = log(tmp_path / "a.log", TUESDAY, TUESDAY + DAY, "shop", "rare")
    warnings, compared = load(night, warehouse, "--expect", "90%", "--expect-fail")
    assert warnings == []
    assert [(one["integration"], one["postbacks"], one["expected"]) for one in compared] == [
        ("rare", 48, 48),
        ("shop", 48, 48),
    ]


def test_a_log_that_ends_too_early_and_an_integration_that_fell_silent(warehouse: Path, tmp_path: Path) -> None:
    night = log(tmp_path / "a.log", TUESDAY, TUESDAY + DAY / 3, "shop", "new")
    metrics = tmp_path / "m.prom"
    warnings, _ = load(night, warehouse, "--expect", "50%", "--expect-fail", "--metrics", str(metrics), code=3)
    assert [warning.split(" postbacks")[0] for warning in warnings] == [
        "warning: acme/rare has 0",
        "warning: acme/shop has 16",
    ]
    assert "from 2024-05-28 06:30 to 2024-05-29 06:15 UTC" in warnings[1]
    assert "had 48, and --expect 50% asks for 24" in warnings[1]
    labels = f'{{command="load",integration="acme/shop",target="{warehouse}"}}'
    assert f"postback_etl_last_run_postbacks{labels} 16.0" in metrics.read_text(encoding="utf-8")
    assert f"postback_etl_last_run_postbacks_expected{labels} 48.0" in metrics.read_text(encoding="utf-8")
    assert run("loads", "verify", "--into", warehouse).stdout == b"no problems found\n"


def test_nothing_is_compared_without_weeks_before_or_with_few_postbacks(tmp_path: Path) -> None:
    into = tmp_path / "warehouse"
    first = log(tmp_path / "1.log", TUESDAY - 7 * DAY, TUESDAY - 6 * DAY, "shop", minutes=100)
    second = log(tmp_path / "2.log", TUESDAY, TUESDAY + DAY / 24, "shop", minutes=50)
    assert load(first, into, "--expect-fail") == ([], [])
    assert load(second, into, "--expect-fail") == ([], [])  # 15 postbacks a day
    assert load(second, into, "--expect", "50%") == ([], [])  # loaded before
    assert_refused(run("load", first, "--into", into, "--expect", "half", code=2), "--expect 'half'", "90%")


def test_a_backfill_judges_each_day(warehouse: Path, tmp_path: Path) -> None:
    def days() -> Iterable[Path]:
        for number in (-1, 0):
            since = TUESDAY + number * DAY
            yield log(tmp_path / f"{since:%Y-%m-%d}.log", since, since + DAY, "shop", "rare", minutes=30)

    assert len(list(days())) == 2
    words = ("backfill", tmp_path / "{date:%Y-%m-%d}.log", "--from", "2024-05-27", "--to", "2024-05-28", "--into")
    finished = run(*words, warehouse, "--expect", "60%", "--expect-fail", code=3)
    warnings = [line for line in finished.stderr.decode().splitlines() if "same weekdays" in line]
    assert [warning.split(" UTC")[0] for warning in warnings] == [
        "warning: acme/rare has 48 postbacks from 2024-05-27 06:30 to 2024-05-28 06:15",
        "warning: acme/shop has 48 postbacks from 2024-05-27 06:30 to 2024-05-28 06:15",
    ]
