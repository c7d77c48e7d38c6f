"""A refund of 70 beside a sale of 70 is 140 nowhere: every sum of money stands by event, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import etl
from tests.commands import run

LINE = '192.0.2.7 - - [0{}/May/2024:1{}:00:00 +0000] "GET /acme/collect/shop?{} HTTP/1.1" 200 2 "-" "agent"\n'
SALE = "click_id=k&value=70&currency=EUR&conversion_type=purchase&transaction_id=k"
REFUND = SALE.replace("conversion_type=purchase", "event_name=Refund")
TYPES = 'name = "house"\n[events]\nnope = "Purchase"\nback = "Refund"\n'
UNKNOWN = "click_id=u&value=5&currency=EUR&transaction_id=u&conversion_type={}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    queries = [SALE, REFUND, UNKNOWN.format("nope"), UNKNOWN.format("back")]
    path = tmp_path / "access.log"
    path.write_text("".join(LINE.format(day, day, query) for day, query in enumerate(queries, 1)), encoding="utf-8")
    return path


@pytest.fixture
def house(tmp_path: Path) -> Path:
    path = tmp_path / "house.toml"
    path.write_text(TYPES, encoding="utf-8")
    return path


def test_what_a_run_and_its_audit_tell(log: Path, tmp_path: Path) -> None:
    told = [run("run", log, "--out", tmp_path / "out").stderr.decode(), run("audit", tmp_path / "out").stdout.decode()]
    run("audit", tmp_path / "out", "--html", tmp_path / "page.html")
    told.append((tmp_path / "page.html").read_text(encoding="utf-8").replace("\u00a0", " "))
    for text in told:
        assert "140.00" not in text
        assert "Refund EUR 70" in text or "EUR: Purchase 70, Refund 70" in text
    (answer,) = json.loads(run("audit", tmp_path / "out", "--json", "--answer", "funnel").stdout)["answers"]
    (whole,) = [row for row in answer["sheets"]["whole"] if row["measure"] == "conversions"]
    parts = [{"event": event, "amount": "70"} for event in ("Purchase", "Refund")]
    assert whole["money"] == [{"currency": "EUR", "amount": "140", "by_event": parts}]


def test_what_if_tells_sums_by_event(log: Path, house: Path) -> None:
    text = run("what-if", log, "--ruleset", house).stdout.decode()
    assert "140.00" not in text
    assert "5 EUR of Purchase + 5 EUR of Refund" in text
    told = json.loads(run("what-if", log, "--ruleset", house, "--json").stdout)
    (group,) = next(one for one in told["changes"] if one["change"] == "conversion_gained")["by_integration"]
    assert group["by_event_b"] == {"Purchase": {"EUR": "5"}, "Refund": {"EUR": "5"}}


def test_a_replay_tells_sums_by_event(log: Path, house: Path, tmp_path: Path) -> None:
    etl.load([log], tmp_path / "warehouse")
    text = run("replay", "--into", tmp_path / "warehouse", "--ruleset", house, "--dry-run", "-q").stdout.decode()
    assert "2 of unknown_conversion_type pass, Purchase EUR 5, Refund EUR 5" in text


def test_reconcile_tells_sums_by_event(log: Path, tmp_path: Path) -> None:
    run("run", log, "--out", tmp_path / "out")
    export = tmp_path / "export.csv"
    export.write_text(
        "Transaction ID,Date,Amount,Currency\nk,2024-05-01 11:00,70,EUR\nz,2024-05-02 12:00,5,EUR\n", encoding="utf-8"
    )
    text = " ".join(run("reconcile", tmp_path / "out", export).stdout.decode().split())
    assert "several events" in text
    assert "Our money by event" in text
    told = json.loads(run("reconcile", tmp_path / "out", export, "--json").stdout)
    assert [(row["event"], row["ours"]) for row in told["events"]] == [("Purchase", "70"), ("Refund", "70")]
