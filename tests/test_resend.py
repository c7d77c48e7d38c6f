"""`resend`: what was lost becomes the postback that it should have been, once, or is refused for a reason."""

from __future__ import annotations

import csv
import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import polars as pl
import pytest

import etl
from etl.engines.local_pool import workers
from etl.errors import UsageError
from etl.options import RunOptions
from etl.reports.resend.lost_records import LOSSES
from etl.reports.resend.platform_windows import WINDOWS
from etl.reports.resend.resend_drafts import REFUSALS
from etl.reports.resend.resend_formats import PLACEHOLDER, RESEND_FORMATS, write_plan
from etl.reports.resend.second_sending import SecondSending, write_resends
from etl.runner.stage_inputs import run_request
from etl.schema import CONVERSIONS
from tests.adversary import json_lines, log_lines
from tests.commands import assert_refused, run
from tests.effort import draws
from tests.warehouses import lines

FINDINGS = [row.name for row in LOSSES]
ALL = [word for name in FINDINGS for word in ("--finding", name)]
LINE = '192.0.2.7 - - [01/May/2024:12:00:00 +0000] "{} /acme/collect/shop?{} HTTP/1.1" {} 2 "-" "Acme/1"\n'
AT = "timestamp=1714564800"
ITEMS = quote('[{"id":"A","price":"5.10","qty":2},{"sku":"B"}]')
SENT_ITEMS = "[{'id':'A','price':5.1,'quantity':2},{}]"

#: A query, the status of its answer, and what is sent instead, or why nothing is.
CASES: dict[str, tuple[str, int, str]] = {
    "a Lead with a value is sent as a purchase": (
        "click_id=a1&amount=49&transaction_id=1",
        200,
        f"click_id=a1&conversion_type=purchase&value=49&currency=EUR&transaction_id=1&{AT}",
    ),
    "its value is mended, too, and its currency": (
        "click_id=a2&value=$1,049.50&transaction_id=2&timestamp=1714564800000",
        200,
        f"click_id=a2&conversion_type=purchase&value=1049.5&currency=USD&transaction_id=2&{AT}",
    ),
    "a type that is nearly known is sent as that type": (
        f"ref=a3&conversion_type=Sal&value=1e1&cur=usd&transaction_id=3&items={ITEMS}&xat_plan=gold&xat_empty=",
        400,
        f"ref_id=a3&conversion_type=sale&value=10&currency=USD&transaction_id=3&{AT}&items={SENT_ITEMS}&xat_plan=gold",
    ),
    "a type that is near nothing stays refused": ("ref=a4&conversion_type=refund&transaction_id=4", 400, "no_cure"),
    "an identity with a wrong name gets its name": (
        "clickkid=a5&conversion_type=CPA&transaction_id=5",
        400,
        f"click_id=a5&conversion_type=CPA&transaction_id=5&{AT}",
    ),
    "a wrong name for an event makes the Lead that event": (
        "click_id=a6&event_nam=Trial&transaction_id=6",
        200,
        f"click_id=a6&event_name=Trial&transaction_id=6&{AT}",
    ),
    "a wrong name of what was sent under its name, too, changes nothing": (
        "click_id=a7&clickkid=x&conversion_type=sale&transaction_id=7",
        200,
        "already_recorded",
    ),
    "an escaped query gets its names": (
        "ref_id=a8&amp;conversion_type=sale&amp;value=9,90&transaction_id=8",
        200,
        f"ref_id=a8&conversion_type=sale&value=9.9&currency=EUR&transaction_id=8&{AT}",
    ),
    "a failed request is sent as it was": (
        "click_id=a9&event=My%20Event&total=5&transaction_id=9&brand=A%26B&country=de",
        503,
        f"click_id=a9&event_name=My Event&value=5&currency=EUR&transaction_id=9&{AT}&brand_name=A&B&country=de",
    ),
    "a failed request that succeeded later is recorded": (
        "click_id=a10&conversion_type=sale&transaction_id=10",
        500,
        "already_recorded",
    ),
    "a request that failed and failed again is sent once": (
        "click_id=a11&conversion_type=sale&transaction_id=11",
        500,
        f"click_id=a11&conversion_type=sale&transaction_id=11&{AT}",
    ),
    "a value that can be mended cannot be sent again under its id": (
        "click_id=a12&conversion_type=sale&value=9,90&transaction_id=12",
        200,
        "already_recorded",
    ),
    "without an id it would count twice": ("click_id=a13&conversion_type=sale&value=9,90", 200, "without_id"),
    "nor is an id that is a macro one": ("click_id=a14&value=9&transaction_id={order}", 200, "without_id"),
    "an id that had a wrong name does not undo what was recorded without it": (
        "click_id=a15&conversion_type=sale&transaction_idd=15",
        200,
        "without_id",
    ),
    "a sale that was sent beside its Lead is recorded": (
        "click_id=a16&value=9&transaction_id=16",
        200,
        "already_recorded",
    ),
    "a macro identifies nobody": ("click_id={clickid}&value=9&transaction_id=17", 200, "unusable_identity"),
    "an address would be hashed": ("email=jo@example.com&value=9&transaction_id=18", 200, "personal_values"),
    "a trait would be hashed": ("click_id=a19&value=9&transaction_id=19&firstName=Jo", 200, "personal_values"),
    "an address in an item would be hashed": (
        "click_id=a20&value=9&transaction_id=20&items=[{%22name%22:%22jo@example.com%22}]",
        200,
        "personal_values",
    ),
    "no identity at all stays refused": ("value=9&conversion_type=sall&transaction_id=21", 400, "no_cure"),
}
LATER = [
    ("click_id=a10&conversion_type=sale&transaction_id=10", 200),
    ("click_id=a11&conversion_type=sale&transaction_id=11", 499),
    ("click_id=b16&conversion_type=sale&transaction_id=16", 200),
]


def planned(inputs: object, out: Path, *arguments: object) -> dict[str, Any]:
    """The summary of a plan, whose parts add up."""
    made: dict[str, Any] = json.loads(run("resend", inputs, "--out", out, "--json", "-q", *arguments).stdout)
    assert made["findings"] == made["resent"] + made["refused"]["total"]
    assert made["refused"]["total"] == sum(made["refused"]["by_reason"].values()) == len(made["refusals"])
    assert made["findings"] == sum(one["findings"] for one in made["by_finding"].values())
    return made


def sent(out: Path) -> list[str]:
    """The decoded queries of a file of addresses."""
    urls = [line for line in out.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return ["&".join(f"{name}={value}" for name, value in parse_qsl(urlsplit(url).query)) for url in urls]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of the cases, its tables, a warehouse and an export of it; no test changes them."""
    base = tmp_path_factory.mktemp("resend")
    rows = [*((query, status) for query, status, _ in CASES.values()), *LATER]
    text = "".join(LINE.format("GET", query, status) for query, status in rows)
    (base / "a.log").write_text(text, encoding="utf-8")
    etl.run(base / "a.log", base / "tables", default_currency="EUR")
    etl.load(base / "a.log", base / "warehouse", default_currency="EUR")
    run("export", "--into", base / "warehouse", "--out", base / "export")
    return base


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[int, str]:
    """What is sent for each line of the log, or why nothing is, by the line's number."""
    plan = planned(folder / "tables", folder / "all.jsonl", *ALL)
    refused = {one["record_no"]: one["reason"] for one in plan["refusals"]}
    made = map(json.loads, (folder / "all.jsonl").read_text(encoding="utf-8").splitlines())
    queries = {
        int(one["resend"]["record_id"][20:], 16): "&".join(
            f"{name}={str(value).replace(' ', '') if name == 'items' else value}" for name, value in one["body"].items()
        )
        for one in made
    }
    return refused | queries


@pytest.mark.parametrize("case", CASES)
def test_a_lost_record_is_sent_as_it_should_have_been(outcomes: dict[int, str], case: str) -> None:
    assert outcomes[list(CASES).index(case) + 1] == CASES[case][2]


def test_a_second_failure_is_not_sent(outcomes: dict[int, str]) -> None:
    assert outcomes[len(CASES) + 2] == "repeated"
    assert {len(CASES) + 1, len(CASES) + 3}.isdisjoint(outcomes)


# --- what a file of them becomes --------------------------------------------------------------------------------

#: Columns that say where a conversion comes from, not what it is.
_ORIGIN = ("conversion_id", "source", "source_digest", "record_no", "byte_offset", "http_method")
_ROWS = [name for name in CONVERSIONS.names if name not in _ORIGIN]


def become(out: Path, folder: Path) -> list[pl.DataFrame]:
    """The rows that a run makes of a file: conversions, items, passthroughs."""
    summary = etl.run(out, folder, pii="keep")
    assert summary["rejections"]["total"] == 0
    numbers = pl.read_parquet(folder / "conversions/*.parquet").sort("record_no").with_row_index("n")
    parts = [pl.read_parquet(folder / f"{name}/*.parquet") for name in ("items", "passthroughs")]
    ids = numbers.select("conversion_id", "n")
    return [
        numbers.select(_ROWS),
        *(part.join(ids, on="conversion_id").drop("conversion_id").sort("n", "position") for part in parts),
    ]


@pytest.mark.parametrize("seed", range(draws(2, 60)))
def test_a_run_makes_of_each_format_the_rows_that_were_promised(tmp_path: Path, seed: int) -> None:
    (tmp_path / "a").write_bytes(json_lines(seed, 60) if seed % 2 else log_lines(seed, 90))
    etl.run(tmp_path / "a", tmp_path / "tables", account="acme", integration="shop", min_matched=0.0)
    options = RunOptions(pii="keep", account="acme" if seed % 2 else None, integration="shop" if seed % 2 else None)
    request = run_request([str(tmp_path / "tables")], tmp_path, options, workers)
    plan = write_resends(request, SecondSending(FINDINGS, tmp_path / "out.sh", is_without_id=True))
    rows = pl.DataFrame([one.row for one in plan.resends], schema=CONVERSIONS.schema).select(_ROWS)
    assert rows.height
    made = []
    for form in RESEND_FORMATS:
        if form.name != "curl":
            write_plan(plan, tmp_path / form.name, form, PLACEHOLDER)
            made.append(become(tmp_path / form.name, tmp_path / f"{form.name}.tables"))
            assert made[-1][0].equals(rows)
    assert all(one.equals(other) for again in made[1:] for one, other in zip(made[0], again, strict=True))
