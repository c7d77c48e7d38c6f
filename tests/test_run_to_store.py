"""`run --out s3://`: a folder for each run, and one manifest, whose files are those of a run into a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
import polars as pl
import pytest

import etl
from etl.errors import OutputError
from etl.runner import stage_inputs
from etl.sources.storage.object_stores import open_store
from etl.sources.storage.store_paths import StorePath
from etl.warehouse.stores import open_store as open_published
from tests.commands import assert_refused, run
from tests.places import ROOT

SAMPLES = [ROOT / "sample_data" / name for name in ("access.log.gz", "webhooks.jsonl")]
OPTIONS = {"account": "acme-7Qx2", "integration": "shop-checkout", "default_currency": "EUR"}


@pytest.fixture(scope="module")
def bucket(make_bucket: Callable[[str], str]) -> str:
    return make_bucket("tables")


def objects(address: str) -> dict[str, bytes]:
    scheme, _, rest = address.partition("://")
    name, _, path = rest.partition("/")
    return {str(file)[len(address) + 1 :]: file.read_bytes() for file in StorePath(f"{scheme}://{name}", path).files()}


def test_the_files_are_those_of_a_folder(bucket: str, sample_tables: Path) -> None:
    out = f"{bucket}/postbacks/2024"
    summaries = [etl.run(inputs, out, **OPTIONS) for inputs in (SAMPLES[1], SAMPLES)]
    found = objects(out)
    manifest = json.loads(found["_postback_etl.json"])
    for table in etl.schema.TABLES:
        local = [path.read_bytes() for path in sorted((sample_tables / table.name).glob("*.parquet"))]
        assert [found[name] for name in manifest["files"][table.name]] == local
    del manifest["files"]
    assert manifest == json.loads((sample_tables / "_postback_etl.json").read_text())
    assert summaries[1]["conversions"] == manifest["conversions"] > summaries[0]["conversions"]
    assert len({name.partition("/")[0] for name in found}) == 3, "the manifest, this run and the run before it"
    for read, table in zip(open_published(out).tables, etl.schema.TABLES, strict=True):
        assert read.collect().equals(pl.read_parquet(sample_tables / table.name))


def test_processes_stage_in_the_store_too(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_inputs, "POOL_BYTES", 0)
    etl.run(SAMPLES[1], tmp_path / "here", **OPTIONS)
    etl.run(SAMPLES[1], f"{bucket}/many", jobs=2, **OPTIONS)
    here = sorted(path.read_bytes() for path in (tmp_path / "here").rglob("*.parquet"))
    assert sorted(data for name, data in objects(f"{bucket}/many").items() if name.endswith(".parquet")) == here


def test_a_run_that_fails_leaves_nothing(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a.log.gz").write_bytes(SAMPLES[0].read_bytes()[:5_000])
    run("run", tmp_path / "a.log.gz", "--out", f"{bucket}/failed", code=1)
    assert objects(f"{bucket}/failed") == {}


@pytest.mark.parametrize("has_tmp", [False, True], ids=["in the store", "with --tmp"])
def test_of_two_runs_at_once_one_is_published(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_tmp: bool
) -> None:
    """The second leaves alone what the first has staged."""
    out = f"{bucket}/twice-{has_tmp}"
    options = {**OPTIONS, "tmp": tmp_path if has_tmp else None}
    written: dict[str, Any] = {}
    survey = stage_inputs._find_format

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(stage_inputs, "_find_format", survey)
        written.update(etl.run(SAMPLES[1], out, **options))
        return survey(*arguments)

    monkeypatch.setattr(stage_inputs, "_find_format", meanwhile)
    with pytest.raises(OutputError, match="published by another run meanwhile"):
        etl.run(SAMPLES[1], out, **options)
    found = objects(out)
    assert len({name.partition("/")[0] for name in found}) == 2
    assert json.loads(found["_postback_etl.json"])["conversions"] == written["conversions"]


def test_a_run_deletes_what_runs_left_a_week_before_it(bucket: str) -> None:
    """A run that began before the manifest was put can publish no more. A reader may read former tables for a week."""
    out = f"{bucket}/swept"
    store = open_store(bucket)
    times = {"old": datetime.now(UTC) - timedelta(days=8), "late": datetime.now(UTC) - timedelta(days=6)}
    runs = {name: f"run-{time:%Y%m%dT%H%M%SZ}-0123abcd" for name, time in times.items()}
    kept = {f"{runs['late']}/a", f"_staging/{runs['late']}/a", "run-2020/a", "run-of-mine/a", "a/run-notes"}
    for path in kept | {f"{runs['old']}/items/a", f"_staging/{runs['old']}/a", f"_staging/{runs['old']}/b"}:
        obstore.put(store, f"swept/{path}", b"left")
    before = set(objects(out))
    obstore.put(store, "swept/_postback_etl.json", b"{}")
    run("run", SAMPLES[0].with_name("missing.log"), "--out", out, code=1)
    assert set(objects(out)) == before | {"_postback_etl.json"}, "nothing was published"
    etl.run(SAMPLES[1], out, **OPTIONS)
    manifest = json.loads(objects(out)["_postback_etl.json"])
    published = {name for names in manifest["files"].values() for name in names}
    assert set(objects(out)) == kept | published | {"_postback_etl.json"}


def test_what_others_wrote_is_not_replaced(bucket: str) -> None:
    obstore.put(open_store(bucket), "others/a.txt", b"text")
    refused = run("run", SAMPLES[1], "--out", f"{bucket}/others", code=2)
    assert_refused(refused, "holds 'a.txt', which this tool did not write")
    refused = run("run", f"{bucket}/others/a.txt", "--out", f"{bucket}", code=2)
    assert_refused(refused, "which this tool did not write")
    assert_refused(run("run", SAMPLES[1], "--out", "ftp://example.com/x", code=2), "cannot hold tables")
