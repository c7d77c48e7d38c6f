"""`resend`: what was lost becomes the postback that it should have been, once, or is refused for a reason."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import polars as pl
import pytest

import etl
from etl.cli.terminal import json_text
from etl.engines.local_pool import workers
from etl.options import RunOptions
from etl.reports.resend.corrected_postbacks import as_requests
from etl.reports.resend.lost_records import LOSSES
from etl.reports.resend.platform_windows import WINDOWS, still_taken_by
from etl.reports.resend.resend_drafts import REFUSALS, SHOWN
from etl.reports.resend.resend_formats import PLACEHOLDER, RESEND_FORMATS, write_plan
from etl.reports.resend.resends import Resend
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
    "so would what is no trait but stands under its name": (
        "click_id=a23&value=9&transaction_id=23&email={email}&birthdate=soon",
        200,
        "personal_values",
    ),
    "an address in an item would be hashed": (
        "click_id=a20&value=9&transaction_id=20&items=[{%22name%22:%22jo@example.com%22}]",
        200,
        "personal_values",
    ),
    "a failed request without an id that succeeded later is recorded": (
        "click_id=a22&conversion_type=sale&value=22",
        502,
        "already_recorded",
    ),
    "no identity at all stays refused": ("value=9&conversion_type=sall&transaction_id=21", 400, "no_cure"),
}
LATER = [
    ("click_id=a10&conversion_type=sale&transaction_id=10", 200),
    ("click_id=a11&conversion_type=sale&transaction_id=11", 499),
    ("click_id=b16&conversion_type=sale&transaction_id=16", 200),
    ("click=a22&total=22.0&conversion_type=cps", 200),
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
def plan(folder: Path) -> dict[str, Any]:
    """The plan of all findings, whose file is `all.jsonl`."""
    return planned(folder / "tables", folder / "all.jsonl", *ALL)


@pytest.fixture(scope="module")
def outcomes(folder: Path, plan: dict[str, Any]) -> dict[int, str]:
    """What is sent for each line of the log, or why nothing is, by the line's number."""
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


def assert_same_persons(rows: pl.DataFrame, resends: list[Resend], tables: Path) -> None:
    """What no finding corrects is what the store holds of the record: who it is, and how much it was worth."""
    stored = {row["conversion_id"]: row for row in pl.read_parquet(tables / "conversions/*.parquet").to_dicts()}
    kept = ["match_type", "name_rule", "passthrough_count", *(name for name in _ROWS if name.endswith("_sha256"))]
    for made, one in zip(rows.to_dicts(), resends, strict=True):
        row = stored.get(one.record_id)
        if row and "near_miss" not in one.findings:
            row["passthrough_count"] = min(row["passthrough_count"], 5)
            assert {name: made[name] for name in kept} == {name: row[name] for name in kept}
            assert made["value"] == (row["value_repaired"] if row["value"] is None else row["value"])
            assert made["occurred_at"] == (row["occurred_at_repaired"] or row["occurred_at"])
            assert made["event"] == row["event"] or "lead_trap" in one.findings or "@" in made["event"]


@pytest.mark.parametrize("seed", range(draws(1, 60)))
def test_a_run_makes_of_each_format_the_rows_that_were_promised(tmp_path: Path, seed: int) -> None:
    (tmp_path / "a").write_bytes(json_lines(seed, 60) if seed % 2 else log_lines(seed, 90))
    etl.run(tmp_path / "a", tmp_path / "tables", account="acme", integration="shop", min_matched=0.0)
    options = RunOptions(pii="keep", account="acme" if seed % 2 else None, integration="shop" if seed % 2 else None)
    request = run_request([str(tmp_path / "tables")], tmp_path, options, workers)
    plan = write_resends(request, SecondSending(FINDINGS, tmp_path / "out.sh", is_without_id=True))
    sent = as_requests([one.parameters for one in plan.resends], [one.path for one in plan.resends])
    rows = etl.transform(sent, options=etl.Options(pii="keep")).conversions.select(_ROWS)
    assert rows.height
    assert rows.select(SHOWN).rows(named=True) == [one.row for one in plan.resends]
    assert_same_persons(rows, plan.resends, tmp_path / "tables")
    made = []
    for form in RESEND_FORMATS:
        if form.name != "curl":
            write_plan(plan, tmp_path / form.name, form, PLACEHOLDER)
            made.append(become(tmp_path / form.name, tmp_path / f"{form.name}.tables"))
            assert made[-1][0].equals(rows)
    assert all(one.equals(other) for again in made[1:] for one, other in zip(made[0], again, strict=True))


# --- where the records come from --------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["warehouse", "export"])
def test_every_store_gives_the_same_plan(folder: Path, plan: dict[str, Any], tmp_path: Path, store: str) -> None:
    assert planned(folder / store, tmp_path / "out.jsonl", *ALL) == plan
    assert (tmp_path / "out.jsonl").read_bytes() == (folder / "all.jsonl").read_bytes()


def test_python_runs_logs_first_and_plans_the_same(folder: Path, plan: dict[str, Any], tmp_path: Path) -> None:
    made = etl.resend(folder / "a.log", tmp_path / "out.jsonl", FINDINGS, default_currency="EUR")
    assert json.loads(json_text(made.as_data())) == plan
    assert (tmp_path / "out.jsonl").read_bytes() == (folder / "all.jsonl").read_bytes()
    assert "lead_trap" in made._repr_html_()


def made_log(path: Path, *rows: tuple[str, int], method: str = "GET") -> Path:
    path.write_text("".join(LINE.format(method, query, status) for query, status in rows), encoding="utf-8")
    return path


def test_a_source_that_is_gone_or_changed_refuses_its_records(tmp_path: Path) -> None:
    logs = [made_log(tmp_path / f"{n}.log", (f"click_id=a{n}&value=5&transaction_id={n}", 200)) for n in range(3)]
    etl.run(logs, tmp_path / "tables")
    logs[0].unlink()
    made_log(logs[1], ("click_id=b&value=5&transaction_id=1", 200))
    plan = planned(tmp_path / "tables", tmp_path / "out.txt", "--finding", "lead_trap")
    assert plan["refused"]["by_reason"] == {"source_gone": 1, "source_changed": 1}
    assert any("has changed" in note for note in plan["notes"])
    assert len(sent(tmp_path / "out.txt")) == 1
    run("run", "-", "--out", tmp_path / "piped", stdin=logs[2].read_bytes())
    plan = planned(tmp_path / "piped", tmp_path / "out.txt", "--finding", "lead_trap")
    assert plan["refused"]["by_reason"] == {"source_gone": 1}


def test_a_record_that_is_read_otherwise_is_refused(tmp_path: Path) -> None:
    """Its run had a ruleset; without it, the record would be another."""
    (tmp_path / "house.toml").write_text(
        'name = "house"\n[aliases]\nvalue = ["payout"]\n[events]\nftd = "Purchase"\n', encoding="utf-8"
    )
    made_log(tmp_path / "a.log", ("click_id=a&conversion_type=FTD&payout=5&cur=eur&transaction_id=1", 502))
    etl.run(tmp_path / "a.log", tmp_path / "tables", ruleset=str(tmp_path / "house.toml"))
    plan = planned(tmp_path / "tables", tmp_path / "out.txt", "--finding", "failures")
    assert plan["refused"]["by_reason"] == {"read_otherwise": 1}
    assert "--ruleset" in plan["notes"][0]
    own = ("--ruleset", tmp_path / "house.toml")
    assert planned(tmp_path / "tables", tmp_path / "out.txt", "--finding", "failures", *own)["resent"] == 1
    assert sent(tmp_path / "out.txt") == [
        f"click_id=a&conversion_type=purchase&value=5&currency=EUR&transaction_id=1&{AT}"
    ]


def test_a_postback_that_nothing_read_is_read_as_its_suggestion_says(tmp_path: Path) -> None:
    records = [
        {"msg": "GET", "req": {"link": "/acme/collect/shop?click_id=a1&conversion_type=sale&transaction_id=1"}},
        {"msg": "see /acme/collect/shop"},
        {"at": {"msg": "POST /acme/collect/shop?click_id=a4&conversion_type=sale&transaction_id=4 HTTP/1.1"}},
        {"msg": "GET", "req": {"link": "/acme/collect/shop?click_id=a2&value=5&transaction_id=2"}},
        {"click_id": "b1"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    etl.run(tmp_path / "a.jsonl", tmp_path / "tables")
    plan = planned(tmp_path / "tables", tmp_path / "out.txt", "--finding", "unread")
    assert plan["refused"]["by_reason"] == {"no_cure": 1}
    assert sent(tmp_path / "out.txt") == [
        "click_id=a1&conversion_type=sale&transaction_id=1",
        "click_id=a4&conversion_type=sale&transaction_id=4",
        "click_id=a2&conversion_type=lead&value=5&transaction_id=2",
    ]


def test_what_was_unread_is_of_the_integration_that_its_text_says(tmp_path: Path) -> None:
    texts = (f"/acme/collect/{slug}?click_id={slug}&conversion_type=sale&transaction_id=1" for slug in ("a", "b"))
    (tmp_path / "a.jsonl").write_text("".join(f'{{"to":{{"link":"{text}"}}}}\n' for text in texts), encoding="utf-8")
    etl.run(tmp_path / "a.jsonl", tmp_path / "tables")
    plan = planned(tmp_path / "tables", tmp_path / "out.txt", "--finding", "unread", "--integration", "b")
    assert plan["refused"]["by_reason"] == {"not_chosen": 1}
    assert len(sent(tmp_path / "out.txt")) == 1


def test_only_an_integration_or_a_period_is_sent(tmp_path: Path) -> None:
    rows = lines((1, "c1", "t1&value=5"), (2, "c2", "t2&value=5"))
    (tmp_path / "a.log").write_bytes(rows + rows.replace(b"/shop?", b"/other?").replace(b"c2&", b"d2&"))
    etl.run(tmp_path / "a.log", tmp_path / "tables")
    chosen = ("--finding", "lead_trap", "--pii", "keep")
    words = {
        ("--since", "2024-05-02"): ["c2", "d2"],
        ("--until", "2024-05-02", "--integration", "other", "--account", "acme"): ["c1"],
    }
    for options, expected in words.items():
        planned(tmp_path / "tables", tmp_path / "out.txt", *chosen, *options)
        assert [dict(parse_qsl(query))["click_id"] for query in sent(tmp_path / "out.txt")] == expected


def test_payloads_without_a_path_need_an_address(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"click_id":"a","value":5,"transaction_id":7}\n', encoding="utf-8")
    etl.run(tmp_path / "a.jsonl", tmp_path / "tables")
    chosen = ("--finding", "lead_trap")
    plan = planned(tmp_path / "tables", tmp_path / "out.txt", *chosen)
    assert plan["refused"]["by_reason"] == {"no_address": 1}
    own = ("--account", "acme", "--integration", "shop", "--base-url", "https://t.example.com/pb/")
    assert planned(tmp_path / "tables", tmp_path / "out.txt", *chosen, *own)["resent"] == 1
    assert (tmp_path / "out.txt").read_text().splitlines()[1].startswith("https://t.example.com/pb/acme/collect/shop?")


def test_a_ruleset_that_compares_ids_alone_takes_the_lead_for_the_purchase(tmp_path: Path) -> None:
    (tmp_path / "ids.toml").write_text('name = "ids"\ndedup_scope = "transaction"\n', encoding="utf-8")
    made_log(tmp_path / "a.log", ("click_id=a&value=5&transaction_id=1", 200))
    chosen = ("--finding", "lead_trap", "--ruleset", tmp_path / "ids.toml")
    plan = planned(tmp_path / "a.log", tmp_path / "out.txt", *chosen)
    assert plan["refused"]["by_reason"] == {"already_recorded": 1}


# --- personal values --------------------------------------------------------------------------------------------


def test_personal_values_are_whole_or_not_written(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    kept = planned(folder / "tables", out, "--finding", "lead_trap", "--pii", "keep")
    assert "personal_values" not in kept["refused"]["by_reason"]
    text = out.read_text(encoding="utf-8")
    assert [word in text for word in ("email=jo%40example.com", "first_name=Jo", "sha256")] == [True, True, False]
    assert out.stat().st_mode & 0o077 == 0
    dropped = planned(folder / "tables", out, "--finding", "lead_trap", "--pii", "drop")
    assert dropped["refused"]["by_reason"]["personal_values"] == 2  # an identity, and an item
    text = out.read_text(encoding="utf-8")
    assert ["click_id=a19" in text, "first_name" in text, "jo%40" in text] == [True, False, False]


def test_a_person_who_was_forgotten_is_not_sent_again(tmp_path: Path) -> None:
    rows = [
        ("click_id=a&value=5&transaction_id=1&email=jo@example.com", 200),
        ("click_id=b&value=5&transaction_id=2", 200),
    ]
    made_log(tmp_path / "a.log", *rows, ("value=5&transaction_id=3&clickkid=c&firstName=Jo&x=jo@example.com", 400))
    etl.run(tmp_path / "a.log", tmp_path / "tables")
    run("forget-person", tmp_path / "tables", "--person", "jo@example.com", "--apply")
    plan = planned(tmp_path / "tables", tmp_path / "out.txt", *ALL, "--pii", "keep")
    assert plan["refused"]["by_reason"] == {"emptied": 2}
    assert "jo%40" not in (tmp_path / "out.txt").read_text(encoding="utf-8")


# --- what is written --------------------------------------------------------------------------------------------


def test_what_has_no_id_stands_apart_and_only_if_asked_for(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    plan = planned(folder / "tables", out, *ALL, "--without-id")
    assert plan["resent_without_id"] == 3
    assert "without_id" not in plan["refused"]["by_reason"]
    comments = [line for line in out.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert ["each sending counts" in line for line in comments] == [False] * (plan["resent"] - 3) + [True] * 3


HOSTILE = (
    "'$(touch owned)`id`",
    '";rm -rf ~;"',
    "=cmd|' /C calc'!A0",
    "a\n#x",
    "https://t.example.com/a/collect/b?click_id=z",
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Failed requests whose texts aim at shells, spreadsheets and readers of lines, in every format."""
    base = tmp_path_factory.mktemp("hostile")
    rows = [
        (f"click_id={quote(text)}&event={quote(text)}&brand={quote(text)}&transaction_id={number}", 500)
        for number, text in enumerate(HOSTILE, 1)
    ]
    text = made_log(base / "a.log", *rows).read_text().replace("/acme/", "/a'$(id)&c/")
    (base / "a.log").write_text(text, encoding="utf-8")
    plan = etl.resend(base / "a.log", base / "urls", ["failed_request"])
    for form in RESEND_FORMATS:
        write_plan(plan, base / form.name, form, PLACEHOLDER)
    return base


def test_a_shell_obeys_nothing_that_a_stranger_wrote(hostile: Path, tmp_path: Path) -> None:
    subprocess.run(["sh", "-n", hostile / "curl"], check=True)
    script = (hostile / "curl").read_text(encoding="utf-8").replace("curl ", "printf '%s\\n' ")
    said = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path).stdout.split()
    urls = [word for word in said if not word.startswith("--")]
    assert [dict(parse_qsl(urlsplit(url).query))["click_id"] for url in urls] == list(HOSTILE)
    assert list(tmp_path.iterdir()) == []


def test_a_spreadsheet_computes_nothing_that_a_stranger_wrote(hostile: Path) -> None:
    with (hostile / "csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["click_id"].replace("'=", "=") for row in rows] == list(HOSTILE)
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row.values())


@pytest.mark.parametrize("form", ["urls", "jsonl", "csv"])
def test_hostile_texts_stay_texts_in_a_run(hostile: Path, tmp_path: Path, form: str) -> None:
    rows, *_ = become(hostile / form, tmp_path / "tables")
    assert rows["click_id"].to_list() == rows["event"].to_list() == rows["brand_name"].to_list() == list(HOSTILE)


@pytest.mark.parametrize("days", [0, *(row.days for row in WINDOWS)])
def test_a_window_closes_after_its_last_moment(days: int) -> None:
    at = datetime(2024, 5, 1, 12, tzinfo=UTC)
    last = at + timedelta(days=days)
    assert still_taken_by(at, last) == [row.platform for row in WINDOWS if row.days >= days]
    assert still_taken_by(at, last + timedelta(seconds=1)) == [row.platform for row in WINDOWS if row.days > days]


def test_a_plan_says_which_platforms_still_take_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    plan = planned(folder / "tables", out, "--finding", "lead_trap", "--now", "2024-05-10")
    platforms = ["Snapchat", "Google Ads", "LinkedIn"]
    assert [name for name, count in plan["still_taken_by"].items() if count == plan["resent"]] == platforms
    for line in out.read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["resend"]["still_taken_by"] == platforms


def test_people_read_the_balance(folder: Path, tmp_path: Path) -> None:
    words = ("--finding", "lead_trap", "--finding", "values", "--now", "2024-05-09")
    told = run("resend", folder / "tables", "--out", tmp_path / "o.txt", *words).stdout.decode()
    said = [row.code for row in REFUSALS if re.search(f"^  {row.code} +[0-9]+\\. {row.meaning}", told, re.MULTILINE)]
    assert re.search(r"^([0-9]+) findings = ([0-9]+) resent \+ ([0-9]+) refused$", told, re.MULTILINE)
    assert said == ["unusable_identity", "personal_values", "already_recorded", "without_id"]
    assert told.endswith(f"written to {tmp_path / 'o.txt'}; nothing was sent\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--finding", "lead_trp"], ["'lead_trap'"]),
        ([], ["No finding was chosen", "near_miss"]),
        (["--finding", "lead_trap", "--as", "cvs"], ["Did you mean 'csv'?"]),
        (["--finding", "lead_trap", "--base-url", "https://jo:pw@example.com"], ["--base-url", "not an address"]),
        (["--finding", "lead_trap", "--now", "soon"], ["--now 'soon'"]),
        (["tables", "--finding", "lead_trap"], ["is a store"]),
    ],
    ids=" ".join,
)
def test_a_plan_that_cannot_be_made_leaves_the_file(
    folder: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "out.txt").write_text("before", encoding="utf-8")
    finished = run("resend", "tables", *arguments, "--out", tmp_path / "out.txt", code=2, cwd=folder)
    assert_refused(finished, *words)
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == "before"


def test_a_plan_does_not_replace_what_it_was_made_of(folder: Path) -> None:
    before = (folder / "a.log").read_bytes()
    for source in ("a.log", "tables"):
        finished = run("resend", source, "--finding", "lead_trap", "--out", "a.log", code=2, cwd=folder)
        assert_refused(finished, "--out", "is an input")
    assert (folder / "a.log").read_bytes() == before


def test_a_file_that_cannot_be_written_is_said(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "missing" / "out.txt"
    assert_refused(run("resend", folder / "tables", "--finding", "lead_trap", "--out", out, code=1), "--out", "missing")
