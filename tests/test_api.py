"""The names of the Python API, whatever was imported before them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path

import polars as pl
import pytest

import etl
from etl.cli.terminal import json_text
from tests.commands import run
from tests.warehouses import lines


def test_every_name_is_there() -> None:
    assert {name: hasattr(etl, name) for name in etl.__all__} == dict.fromkeys(etl.__all__, True)


def test_no_package_hides_a_function() -> None:
    """Python sets a package as an attribute of `etl` when a module of it is imported."""
    import_module("etl.steps.pipeline")
    assert callable(etl.transform)
    assert etl.transform(etl.schema.REQUESTS.empty()).conversions.height == 0
    assert etl.transform(etl.schema.REQUESTS.empty()).rejections.height == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of logs, their tables, a warehouse of them, and an export of theirs; no test changes them."""
    base = tmp_path_factory.mktemp("api")
    for day in (1, 2):
        rows = lines((day, f"c{day}", f"t{day}&value=5"), (day, "c3", "<b>t3&value=1,000"))
        (base / f"2024-05-0{day}.log").write_bytes(rows + b"nothing\n" * (day - 1))
    etl.run(str(base / "*.log"), base / "tables", default_currency="EUR")
    etl.load(base / "2024-05-01.log", base / "warehouse", default_currency="EUR")
    (base / "theirs.csv").write_text(
        "time,order,amount\n2024-05-01 12:00,t1,5\n2024-05-02 12:00,t2,7\n", encoding="utf-8"
    )
    return base


def test_requests_are_what_transform_takes(folder: Path) -> None:
    batches = list(etl.requests(folder / "*.log"))
    tables = [etl.transform(batch) for batch in batches]
    assert sum(one.conversions.height for one in tables) == 4  # duplicates are found across batches, by a run
    assert sum(batch.height for batch in batches) == 5


def test_the_functions_give_what_the_commands_write(folder: Path) -> None:
    tables, since = folder / "tables", "2024-05-02"
    shown = {
        ("audit", tables): etl.audit(tables).as_data(),
        ("audit", tables, "--since", since): etl.audit(tables, since=since).as_data(),
        ("reconcile", tables, folder / "theirs.csv"): etl.reconcile(tables, folder / "theirs.csv").as_data(),
        ("explain", "?click_id=a"): etl.explain("?click_id=a").as_data(),
        ("inspect", folder / "2024-05-01.log"): [one.as_data() for one in etl.inspect(folder / "2024-05-01.log")],
        ("what-if", folder / "2024-05-01.log", "--ruleset", "shopify", "-q"): etl.what_if(
            folder / "2024-05-01.log", "shopify"
        ).as_data(),
    }
    for words, found in shown.items():
        said = json.loads(run(*words, "--json").stdout)
        assert json.loads(json_text(found)) == said, words


def test_a_warehouse_is_loaded_exported_and_judged_again(folder: Path, tmp_path: Path) -> None:
    days = etl.backfill(f"{folder}/{{date:%Y-%m-%d}}.log", tmp_path / "warehouse", "2024-05-01", date(2024, 5, 2))
    assert [(f"{day.day}", day.records) for day in days] == [("2024-05-01", 2), ("2024-05-02", 3)]
    written = etl.export(tmp_path / "warehouse", tmp_path / "out", since="2024-05-02")
    assert {table.table: table.rows for table in written}["conversions"] == 1
    assert etl.replay(tmp_path / "warehouse", "shopify", dry_run=True)["passed"] == 0


def test_results_are_shown_in_notebooks_without_markup_of_strangers(folder: Path) -> None:
    results = [
        etl.audit(folder / "warehouse"),
        etl.reconcile(folder / "tables", folder / "theirs.csv"),
        etl.explain("?click_id=<b>&transaction_id=<b>"),
        etl.inspect(folder / "*.log"),
        etl.what_if(folder / "2024-05-01.log", "shopify"),
        etl.run(folder / "2024-05-01.log", folder / "out"),
    ]
    for result in results:
        page = result._repr_html_()
        assert page.startswith("<h3>")
        assert "<b>t3" not in page
        assert "<b>&" not in page
        assert "list[struct" not in page


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda log: etl.run(log, "out", defalt_currency="EUR"), "Did you mean 'default_currency'"),
        (lambda log: etl.load(log, "out", colums={}), "Did you mean 'columns'"),
        (lambda log: list(etl.requests(log, since="2024-05-01")), "There is no option 'since'"),
        (lambda log: etl.reconcile("tables", log, time_zone="UTC"), "There is no option 'time_zone'"),
    ],
)
def test_a_name_that_is_no_option_is_answered_by_the_right_one(call: Callable[[Path], object], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call(Path("x.log"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda log: etl.run(log, "out", since="yesterday"), "since 'yesterday' is not a time"),
        (lambda log: etl.run(log, "out", pii="hide"), "pii 'hide' is unknown"),
        (lambda log: etl.run(log, "out", ruleset="shopfy"), "shopfy"),
        (lambda log: etl.audit("nothing"), "'nothing' is not a folder"),
        (lambda log: etl.export("x", "y", until="May"), "until 'May' is not a day"),
        (lambda log: etl.transform(pl.DataFrame({"raw": ["a"]})), "The column 'source' is missing"),
        (
            lambda log: etl.transform(etl.schema.REQUESTS.empty().with_columns(record_no=pl.lit("a"))),
            "The column 'record_no' has the type String",
        ),
        (lambda log: etl.what_if(log, "shopify", "shopify"), "are the same rules"),
    ],
)
def test_what_cannot_be_done_is_an_error_of_the_package(call: Callable[[Path], object], words: str) -> None:
    with pytest.raises(etl.EtlError, match=words):
        call(Path("x.log"))


def test_times_are_taken_as_a_person_writes_them() -> None:
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    for given in (noon, datetime(2024, 5, 1, 12), "2024-05-01T12:00", "2024-05-01T14:00:00+02:00"):  # noqa: DTZ001
        assert etl.Options(since=given).since == noon
    assert etl.Options(until=date(2024, 5, 1)).until == datetime(2024, 5, 1, tzinfo=UTC)
