"""Stores: a warehouse and its export answer what the folder of a run answers."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import etl
from etl.reports.audit.page_tables import inputs_table, provenance
from etl.reports.audit.report import Report
from etl.warehouse.stores import open_store
from tests.commands import assert_refused, run
from tests.effort import IS_THOROUGH, draws
from tests.places import ROOT
from tests.warehouses import lines

OPTIONS = {"account": "acme-7Qx2", "integration": "shop-checkout", "default_currency": "EUR"}
DAY = "2024-05-15"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The samples, of which `make test` takes every sixth line."""
    folder = tmp_path_factory.mktemp("samples")
    log, hooks = (
        b"".join(data.splitlines(keepends=True)[:: draws(6, 1)])
        for data in (
            gzip.decompress((ROOT / "sample_data" / "access.log.gz").read_bytes()),
            (ROOT / "sample_data" / "webhooks.jsonl").read_bytes(),
        )
    )
    (folder / "access.log.gz").write_bytes(gzip.compress(log))
    (folder / "webhooks.jsonl").write_bytes(hooks)
    return [folder / "access.log.gz", folder / "webhooks.jsonl"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, samples: list[Path]) -> dict[str, Path]:
    """The samples as a run's folder, a warehouse and an export of it; no test changes them."""
    base = tmp_path_factory.mktemp("stores")
    etl.run(samples, base / "folder", **OPTIONS)
    etl.load(samples, base / "warehouse", **OPTIONS)
    run("export", "--into", base / "warehouse", "--out", base / "export")
    return {name: base / name for name in ("folder", "warehouse", "export")}


def audited(store: Path | str, *arguments: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(run("audit", store, "--json", *arguments).stdout)
    assert report.pop("folder") == str(store)
    return report


def test_the_audit_of_a_warehouse_is_that_of_a_run(stores: dict[str, Path]) -> None:
    assert audited(stores["warehouse"]) == audited(stores["folder"])


def test_the_audit_of_an_export_lacks_what_an_export_does_not_hold(stores: dict[str, Path]) -> None:
    whole, exported = audited(stores["folder"]), audited(stores["export"])
    assert "an export does not hold them" in exported.pop("notes")[0]
    whole.pop("notes")
    unknown = ("funnel", "unread_parameters")
    for report in (whole, exported):
        report["answers"] = [answer for answer in report["answers"] if answer["key"] not in unknown]
    assert exported == whole


def test_the_foot_of_the_page_names_the_state_of_a_store(stores: dict[str, Path], samples: list[Path]) -> None:
    facts = {}
    contents = [gzip.decompress(samples[0].read_bytes()), samples[1].read_bytes()]
    for name, store in stores.items():
        report = Report(str(store), "UTC", open_store(store).manifest, None, None, [], [], None, {})
        facts[name] = dict(provenance(report))
        table = inputs_table(report)
        digests = [] if table is None else sorted(row[1].text for row in table.rows)
        expected = sorted(hashlib.sha256(content).hexdigest() for content in contents)
        assert digests == ([] if name == "export" else expected)
    snapshot = json.loads((stores["warehouse"] / "snapshot.json").read_bytes())
    assert facts["warehouse"]["Snapshot"] == f"{snapshot['run']}, written at {snapshot['written_at']}"
    assert facts["export"]["Exported from"].endswith("/warehouse")
    assert facts["folder"]["Options of the run"] == (
        "--default-currency EUR --account acme-7Qx2 --integration shop-checkout"
    )
    assert {facts[name]["Ruleset"] for name in stores} == {facts["folder"]["Ruleset"]}


def test_the_audit_of_a_period_is_that_of_a_run_over_it(tmp_path: Path) -> None:
    for name, days in (("all.log", (1, 2, 3, 4)), ("part.log", (2, 3))):
        rows = ((day, f"c{day}{n}", f"t{day}{n}{'&value=5' * n}") for day in days for n in range(3))
        (tmp_path / name).write_bytes(lines(*rows))
        etl.run([tmp_path / name], tmp_path / name[:-4])
    etl.load([tmp_path / "all.log"], tmp_path / "warehouse")
    run("export", "--into", tmp_path / "warehouse", "--out", tmp_path / "export")
    expected = audited(tmp_path / "part")
    for store in ("all", "warehouse", "export"):
        report = audited(tmp_path / store, "--since", "2024-05-02T12:00", "--until", "2024-05-04T12:00")
        assert "not counted" in report["notes"][0]
        for answer in report["answers"]:
            answer["examples"] = len(answer["examples"])  # the ids of another file
        assert report["answers"] == [{**one, "examples": len(one["examples"])} for one in expected["answers"]]


def test_a_row_of_any_store_is_explained_alike(stores: dict[str, Path]) -> None:
    for table, key in (("conversions", "conversion_id"), ("rejections", "rejection_id")):
        row_id = etl.scan(str(stores["warehouse"]), table).select(key).min().collect().item()
        told = [run("explain", f"{store}:{row_id}").stdout for store in stores.values()]
        assert told[0] == told[1] == told[2]


def test_inputs_of_a_store_are_inspected_and_compared_anew(stores: dict[str, Path], samples: list[Path]) -> None:
    named = {path["path"] for path in json.loads(run("inspect", *samples, "--json").stdout)}
    for store in stores.values():
        assert {path["path"] for path in json.loads(run("inspect", store, "--json").stdout)} == named
        if store.name != "export" and not IS_THOROUGH:
            continue
        told = run("what-if", store, "--ruleset", "shopify", "--json", "-q", *("--account", "a", "--integration", "b"))
        assert json.loads(told.stdout)["records"] == draws(772, 4_623)


def test_a_store_without_inputs_that_can_be_read_again_is_refused(tmp_path: Path) -> None:
    run("run", "-", "--out", tmp_path / "out", "-q", stdin=lines((1, "c1", "t1")))
    assert_refused(run("inspect", tmp_path / "out", code=2), "standard input")


def test_reconcile_compares_the_days_that_are_asked_for(stores: dict[str, Path], tmp_path: Path) -> None:
    export = tmp_path / "theirs.csv"
    export.write_text(f"time,order\n2024-05-14 10:00,a\n{DAY} 10:00,b\n2024-05-16 10:00,c\n", encoding="utf-8")
    told = {
        name: json.loads(run("reconcile", store, export, "--json", "--since", DAY, "--until", "2024-05-16").stdout)
        for name, store in stores.items()
    }
    assert told["warehouse"] == told["export"] == told["folder"]
    assert (told["folder"]["first_day"], told["folder"]["last_day"]) == (DAY, DAY)
    assert_refused(run("reconcile", stores["folder"], export, "--since", "2030-01-01", code=2), "on these days")


def test_a_warehouse_in_an_object_store_is_audited(make_bucket: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(lines((1, "c1", "t1"), (2, "c2", "t2"), (2, "c3", "t2")))
    address = make_bucket("audited") + "/warehouse"
    etl.load([tmp_path / "access.log"], address)
    etl.run([tmp_path / "access.log"], tmp_path / "out")
    assert audited(address) == audited(tmp_path / "out")
    row_id = etl.scan(address, "conversions").select("conversion_id").min().collect().item()
    assert run("explain", f"{address}:{row_id}").stdout == run("explain", f"{tmp_path / 'out'}:{row_id}").stdout


def test_the_files_of_a_run_and_of_an_export_describe_each_column(stores: dict[str, Path]) -> None:
    for store in (stores["folder"], stores["export"]):
        for table in etl.schema.TABLES:
            fields = pq.ParquetFile(min((store / table.name).rglob("*.parquet"))).schema_arrow
            said = [(field.name, field.metadata[b"description"].decode()) for field in fields]
            assert said == [(column.name, column.meaning) for column in table.columns]
