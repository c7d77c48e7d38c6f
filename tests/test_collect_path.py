"""Another path of postbacks: the option stands before the ruleset, and every format of records is read by it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import etl
from etl.errors import UsageError
from etl.sources.carriers.known_carriers import CARRIERS
from etl.sources.formats.registry import FORMATS
from tests.commands import assert_refused, run
from tests.effort import thorough
from tests.records import LINE

#: As long as the path of the samples, because some carriers count bytes.
OWN, PAGE = b"/postback/for/shop", b"/acme/collect/shop"

#: The first format of each family that has a sample with the path.
FIRST = {row.family: row for row in reversed(FORMATS) if any(PAGE in sample for sample in row.samples)}

#: Samples of formats and of carriers. `make test` takes a format of each family, and every fourth carrier.
SAMPLES = [
    pytest.param(sample, id=f"{row.name} {i}", marks=[thorough] if i or row is not FIRST[row.family] else [])
    for row in FORMATS
    for i, sample in enumerate(one for one in row.samples if PAGE in one)
    if row.name != "ngrok"  # whose path is within Base64, too
]
CARRIED = [
    pytest.param(sample, id=f"{row.name} {i}", marks=[thorough] if i or turn % 4 else [])
    for turn, row in enumerate(CARRIERS)
    for i, sample in enumerate(one for one, _ in row.samples if PAGE in one)
]


def tables_in(folder: Path) -> dict[str, pl.DataFrame]:
    return {name: pl.read_parquet(folder / name) for name in ("conversions", "rejections")}


def rows_of(data: bytes, folder: Path, **options: str) -> pl.DataFrame:
    """What the records of an input become, without paths, accounts and ids."""
    (folder / "input").write_bytes(data + b"\n")
    summary = etl.run([folder / "input"], folder / "out", pii="keep", **options)
    tables = tables_in(folder / "out")
    columns = ("match_key", "value", "received_at", "http_method", "client_ip", "integration")
    rows = tables["conversions"].select(*columns, reason=pl.lit(None, pl.String))
    rejected = tables["rejections"].select(*("integration", "received_at", "http_method", "reason"))
    return pl.concat([rows, rejected], how="diagonal").with_columns(
        skipped=pl.lit(json.dumps(summary["skipped"])), format=pl.lit(summary["inputs"][0]["format"])
    )


@pytest.mark.parametrize("sample", SAMPLES + CARRIED)
def test_every_format_and_carrier_reads_another_path(sample: bytes, tmp_path: Path) -> None:
    expected = rows_of(sample, tmp_path)
    assert rows_of(sample.replace(PAGE, OWN), tmp_path, collect_path="/postback/for/{integration}").equals(expected)


def test_an_object_whose_address_is_another_path_is_an_envelope(tmp_path: Path) -> None:
    """A serialiser leaves out a body that is undefined."""
    (tmp_path / "a.jsonl").write_text('{"uri": "/pb?click_id=a", "at": 1}\n' * 2, encoding="utf-8")
    etl.run([tmp_path / "a.jsonl"], tmp_path / "out", collect_path="/pb", account="acme", integration="shop")
    found = tables_in(tmp_path / "out")["conversions"].select("match_key", "account_id", "integration")
    assert found.rows() == [("a", "acme", "shop")] * 2


def test_the_option_stands_before_the_ruleset(tmp_path: Path) -> None:
    log, rules = tmp_path / "a.log", tmp_path / "rules.toml"
    log.write_text(LINE.format("click_id=a").replace("/acme/collect/shop", "/pb"), encoding="utf-8")
    rules.write_text('collect_path = "/other"', encoding="utf-8")
    arguments = ("run", log, "--out", tmp_path / "out", "--summary", "-", "-q", "--ruleset", rules)
    assert json.loads(run(*arguments).stdout)["conversions"] == 0
    summary = json.loads(run(*arguments, "--collect-path", "/pb").stdout)
    assert summary["conversions"] == 1
    assert summary["ruleset"]["digest"] != etl.parse_ruleset(rules.read_text(encoding="utf-8"), "rules").digest


def test_every_command_that_reads_takes_the_option(tmp_path: Path) -> None:
    log, into = tmp_path / "a.log", tmp_path / "warehouse"
    log.write_text(LINE.format("click_id=a").replace("/acme/collect/shop", "/pb"), encoding="utf-8")
    own = ("--collect-path", "/pb")
    assert json.loads(run("inspect", log, "--json", *own).stdout)[0]["postbacks"] == 1
    assert json.loads(run("explain", f"{log}:1", "--json", *own).stdout)["outcome"] == "conversion"
    rules = tmp_path / "rules.toml"
    rules.write_text('[aliases]\nvalue = ["gain"]', encoding="utf-8")
    compared = json.loads(run("what-if", log, "--ruleset", rules, "--json", "-q", *own).stdout)
    assert compared["totals"][0]["conversions"] == 1
    assert json.loads(run("load", log, "--into", into, "--summary", "-", "-q", *own).stdout)["conversions"] == 1
    (why,) = [one["why"] for one in json.loads(run("load", log, "--into", into, "--summary", "-").stdout)["inputs"]]
    assert why == "it was loaded with other rules; --reload reads it again"


def test_a_replay_by_the_path_reads_what_was_unread(tmp_path: Path) -> None:
    log, into = tmp_path / "a.log", tmp_path / "warehouse"
    log.write_text('{"click_id": "b"}\n{"url": "/pb?click_id=a", "at": "/acme/collect/shop"}\n' * 2, encoding="utf-8")
    report = json.loads(run("load", log, "--into", into, "--summary", "-", "-q", code=3).stdout)
    assert report["rejections_by_reason"] == {"unread_postback": 2}
    replay = ("replay", "--into", into, "--summary", "-", "-q")
    assert json.loads(run(*replay).stdout)["same"] == 2
    assert json.loads(run(*replay, "--collect-path", "/pb").stdout)["passed"] == 2


def test_a_replay_by_another_alias_finds_the_identity_of_an_unread_payload(tmp_path: Path) -> None:
    log, into, rules = tmp_path / "a.jsonl", tmp_path / "warehouse", tmp_path / "rules.toml"
    log.write_text('{"kunde": "a", "at": "https://example.com/acme/collect/shop"}\n', encoding="utf-8")
    rules.write_text('[aliases]\nclick_id = ["kunde"]', encoding="utf-8")
    run("load", log, "--into", into, "-q", "--max-unread", "100%")
    replay = ("replay", "--into", into, "--summary", "-", "-q", "--reason", "unread_postback")
    assert json.loads(run(*replay, "--ruleset", rules).stdout)["passed"] == 1


@pytest.mark.parametrize("path", ["/{account}", "/", "/pb?click_id=1", "https://example.com/pb", "/{slug}/pb"])
def test_a_text_that_is_no_path_is_refused(path: str, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(LINE.format("click_id=a"), encoding="utf-8")
    assert_refused(run("run", log, "--out", tmp_path / "out", "--collect-path", path, code=2), "--collect-path", path)
    with pytest.raises(UsageError, match="not a path with a fixed word"):
        etl.run([log], tmp_path / "out", collect_path=path)
