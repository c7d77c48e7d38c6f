"""sample_data/: its outputs as a snapshot, and that it holds every rule, reason and finding there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.rules import page
from etl.schema import TABLES
from etl.steps.issues import ISSUES, RULES
from sample_data import generate

ROOT = Path(__file__).parents[1]
SNAPSHOT = Path(__file__).parent / "snapshots" / "sample_data.txt"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, pl.DataFrame]]:
    out = tmp_path_factory.mktemp("sample") / "out"
    files = [ROOT / "sample_data" / name for name in ("access.log.gz", "webhooks.jsonl")]
    summary = etl.run(files, out, account="acme-7Qx2", integration="shop-checkout", default_currency="EUR")
    return summary, {table.name: pl.read_parquet(out / table.name) for table in TABLES}


def test_everything_occurs(sample: tuple[dict[str, Any], dict[str, pl.DataFrame]]) -> None:
    summary, tables = sample
    conversions = tables["conversions"]
    assert set(conversions["event_rule"]) == {"event_name", "conversion_type", "automatic_commission", "automatic_lead"}
    assert set(conversions["match_type"]) == {"click_id", "ref_id", "email"}
    assert set(conversions["name_rule"].drop_nulls()) == {"parts", "full_name"}
    assert {value for value, _ in page.EVENTS} <= {text.lower() for text in conversions["conversion_type"].drop_nulls()}
    unsampled = {"lost_separator", "placeholder_word", "unusable_email", "unusable_phone"}  # cases show them
    unsampled |= {"timestamp_nanoseconds", "timestamp_text", "test_order"}
    assert set(summary["issues"]) == {issue.code for issue in ISSUES} - unsampled
    assert set(summary["rejections"]["by_reason"]) == {reason.code for reason in page.REJECTIONS} - {"unread_postback"}
    elsewhere = {"outside_period", "no_received_at", "other_status", "header", "left_out_by_ruleset"}
    assert set(summary["skipped"]["by_reason"]) == {reason.code for reason in page.SKIPS} - elsewhere
    assert set(tables["rejections"]["duplicate_kind"].drop_nulls()) == {"identical", "conflicting"}


def test_the_outputs_are_what_they_were(sample: tuple[dict[str, Any], dict[str, pl.DataFrame]]) -> None:
    summary, tables = sample
    differing = ("run_id", "seconds", "peak_memory_bytes", "inputs")
    shown = json.dumps({key: value for key, value in summary.items() if key not in differing}, indent=1)
    rows = {
        name: "\n".join(json.dumps(row, default=str, ensure_ascii=False) for row in _plain(table.head(40)).to_dicts())
        for name, table in tables.items()
    }
    text = "\n\n".join([shown, *(f"{name}\n{lines}" for name, lines in rows.items())]) + "\n"
    if not SNAPSHOT.exists():
        SNAPSHOT.parent.mkdir(exist_ok=True)
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8"), "remove the snapshot, run again, and read its diff"


def _plain(rows: pl.DataFrame) -> pl.DataFrame:
    """Without what depends on where the checkout lies, and without columns that are null throughout."""
    kept = [name for name in rows.columns if name != "source" and rows[name].null_count() < rows.height]
    return rows.select(kept)


def test_the_files_are_what_their_generator_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip
    import shutil

    shutil.copy(ROOT / "sample_data" / "templates.toml", tmp_path)
    monkeypatch.setattr(generate, "HERE", tmp_path)
    generate.main()
    for name, read in (("access.log.gz", gzip.decompress), ("webhooks.jsonl", bytes)):
        assert read((tmp_path / name).read_bytes()) == read((ROOT / "sample_data" / name).read_bytes())


def test_every_rule_has_an_issue_and_every_issue_a_meaning() -> None:
    assert {rule.code for rule in RULES} <= {issue.code for issue in ISSUES}
    assert len({issue.code for issue in ISSUES}) == len(ISSUES)
