"""`what-if`: what it counts is what two runs differ in, in any number of ranges, and it leaves nothing behind."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.engines.local_pool import workers
from etl.reports import what_if
from etl.reports.what_if import CHANGES, VERDICT, compare_rulesets
from etl.rules.ruleset import Ruleset
from etl.runner import run as job
from etl.runner import stage_inputs, tasks
from tests.commands import on_terminal, run, run_process
from tests.effort import draws
from tests.records import HIDDEN, HOSTILE, LINE, RECORDS

ROOT = Path(__file__).parents[1]
SAMPLES = [ROOT / "sample_data" / name for name in ("access.log.gz", "webhooks.jsonl")]

#: Two houses between which every kind of change occurs.
LEFT = 'name = "left"\ndedup_scope = "transaction"\n[events]\nftd = "Purchase"\n[aliases]\nclick_id = ["ref2"]\n'
RIGHT = (
    'name = "right"\nalias_order = "payload"\nconversion_type_match = "trimmed"\nemail_identity = "exact"\n'
    '[aliases]\nvalue = ["payout"]\ncurrency = ["ccy"]\n[events]\nftd = "Deposit"\nrebill = "Purchase"\n'
)
QUERIES = (
    "click_id=a&conversion_type=ftd&value=5",
    "click_id=b&conversion_type=rebill&value=7&cur=EUR",
    "Email=jane@example.com&value=1",
    "ref2=r&Email=jo@example.com",
    "ref2=r&conversion_type=ftdd",
    "click_id=c&payout=9.5",
    "click_id=d&value=1&ccy=usd",
    "click_id=x&click=y",
    "click=y&click_id=x&amount=3&value=4",
    "click_id=e&transaction_id=1&event=A&value=2&currency=EUR",
    "click_id=e&transaction_id=1&event=B&value=2&currency=EUR",
    "click_id=f&value=1e28&payout=2",
)


@pytest.fixture
def rules(tmp_path: Path) -> tuple[Path, Path]:
    for name, text in (("left.toml", LEFT), ("right.toml", RIGHT)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / "left.toml", tmp_path / "right.toml"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "a.log"
    path.write_text("".join(map(LINE.format, QUERIES)) * 2 + "\n", encoding="utf-8")
    return path


def verdicts(out: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """What every record becomes, by a reading of the tables that is not the command's."""
    found = {}
    for row in pl.read_parquet(out / "conversions").to_dicts():
        found[row["source"], row["record_no"]] = {**row, "outcome": "conversion"}
    for row in pl.read_parquet(out / "rejections").to_dicts():
        nothing: dict[str, Any] = dict.fromkeys(VERDICT)
        found[row["source"], row["record_no"]] = {**nothing, **row, "outcome": row["reason"]}
    return found


def differences(files: list[Path], rulesets: list[Ruleset], out: Path) -> tuple[Counter[Any], Counter[Any], int]:
    """Records and money by change and integration, and how many records change at all."""
    for name, ruleset in zip("ab", rulesets, strict=True):
        etl.run(files, out / name, ruleset=ruleset)
    left, right = verdicts(out / "a"), verdicts(out / "b")
    records: Counter[Any] = Counter()
    money: Counter[Any] = Counter()
    changed = 0
    for place, a in left.items():
        b = right[place]
        both = a["outcome"] == b["outcome"] == "conversion"
        kinds = {
            "conversion_lost": a["outcome"] == "conversion" != b["outcome"],
            "conversion_gained": b["outcome"] == "conversion" != a["outcome"],
            "other_reason": "conversion" not in (a["outcome"], b["outcome"]) and a["outcome"] != b["outcome"],
            **{name: both and a[name] != b[name] for name in ("event", "value", "currency")},
            "match_key": both and (a["match_type"], a["match_key"]) != (b["match_type"], b["match_key"]),
        }
        changed += any(kinds.values())
        for kind in (kind for kind, applies in kinds.items() if applies):
            records[kind, a["integration"]] += 1
            for side, row in (("money_a", a), ("money_b", b)):
                if row["outcome"] == "conversion" and row["value"] is not None:
                    money[kind, a["integration"], side, row["currency"] or ""] += row["value"]
    return records, money, changed


def counted(told: dict[str, Any]) -> tuple[Counter[Any], Counter[Any], int]:
    records: Counter[Any] = Counter()
    money: Counter[Any] = Counter()
    for change in told["changes"]:
        for owner in change["by_integration"]:
            records[change["change"], owner["integration"]] += owner["records"]
            for side in ("money_a", "money_b"):
                for currency, value in owner[side].items():
                    money[change["change"], owner["integration"], side, currency] += Decimal(value)
    return records, money, told["changed"]


def some_of_the_samples(folder: Path) -> list[Path]:
    """Of the samples, every ninth line in `make test`, and all in `make thorough`."""
    for path in SAMPLES:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        (folder / path.stem).write_bytes(b"".join(data.splitlines(keepends=True)[:: draws(9, 1)]))
    return [folder / path.stem for path in SAMPLES]


@pytest.mark.parametrize("inputs", ["invented", "samples"])
def test_what_is_counted_is_what_two_runs_differ_in(
    inputs: str, log: Path, rules: tuple[Path, Path], tmp_path: Path
) -> None:
    files = [log] if inputs == "invented" else some_of_the_samples(tmp_path)
    flags = ("--ruleset", rules[0], "--ruleset", rules[1], "--changes", tmp_path / "c.parquet", "--json")
    told = json.loads(run("what-if", *files, *flags).stdout)
    rulesets = [etl.parse_ruleset(text, "x") for text in (LEFT, RIGHT)]
    assert counted(told) == differences(files, rulesets, tmp_path)
    if inputs == "invented":
        assert {change["change"] for change in told["changes"] if change["records"]} == {row.code for row in CHANGES}
    rows = pl.read_parquet(tmp_path / "c.parquet")
    assert rows.height == told["changed"]
    assert rows["record_id"].is_sorted()
    assert Counter(rows["changes"].explode()) == {c["change"]: c["records"] for c in told["changes"] if c["records"]}
    for change in told["changes"]:
        first = rows.filter(pl.col("changes").list.contains(change["change"])).head(3)
        assert [row["record_no"] for row in change["examples"]] == first["record_no"].to_list()


def test_any_number_of_ranges_says_the_same(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rulesets = etl.parse_ruleset(LEFT, "left"), etl.parse_ruleset(RIGHT, "right")
    log.write_text(log.read_text(encoding="utf-8") * draws(5, 40), encoding="utf-8")
    _, hooks = some_of_the_samples(tmp_path)

    def compared(name: str) -> tuple[dict[str, Any], bytes]:
        request = stage_inputs.RunRequest(inputs=(str(log), str(hooks)), out=tmp_path / name, open_engine=workers)
        request.out.mkdir()
        data = compare_rulesets(request, rulesets, changes=tmp_path / f"{name}.parquet").as_data()
        rows = pl.read_parquet(tmp_path / f"{name}.parquet")
        return data, rows.serialize()

    whole = compared("whole")
    monkeypatch.setattr(what_if, "PARTS_PER_RANGE", 1)
    monkeypatch.setattr("etl.sources.small_inputs.SMALL_BYTES", 0)
    monkeypatch.setattr(tasks, "ROWS_PER_PIECE", 50)
    monkeypatch.setattr(job, "ROWS_PER_PIECE", 50)
    assert compared("parts") == whole
    assert whole[0]["changed"] > draws(25, 200)


def test_one_ruleset_is_compared_with_the_page(log: Path, rules: tuple[Path, Path]) -> None:
    told = json.loads(run("what-if", log, "--ruleset", rules[0], "--json").stdout)
    assert [ruleset["name"] for ruleset in told["rulesets"]] == ["builtin", "left"]
    assert told["records"] == 2 * len(QUERIES) + 1
    assert list(told) == ["rulesets", "records", "changed", "totals", "changes"]


def test_standard_input_is_read_once_for_both(log: Path, rules: tuple[Path, Path]) -> None:
    (named, piped) = (
        json.loads(run("what-if", what, "--ruleset", rules[0], "--json", stdin=stdin).stdout)
        for what, stdin in ((log, b""), ("-", log.read_bytes()))
    )
    assert counted(named) == counted(piped)


def test_nothing_is_left_behind_and_standard_output_holds_the_result(
    log: Path, rules: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    finished = run_process("what-if", log, "--ruleset", rules[0], "-q", env=environment)
    assert finished.stderr == b""
    assert b"builtin -> left: 7 of 25 records change\n" in finished.stdout
    assert b"a.log:1  outcome unknown_conversion_type -> conversion, event none -> Purchase" in finished.stdout
    assert list((tmp_path / "temporary").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "left.toml", "right.toml", "temporary"]


def test_an_empty_input_changes_nothing(rules: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    finished = run("what-if", tmp_path / "empty.log", "--ruleset", rules[0], "--changes", tmp_path / "c.parquet")
    assert b"0 of 0 records" in finished.stdout
    assert pl.read_parquet(tmp_path / "c.parquet").height == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{log}"], 2, "Missing option"),
        (["{log}", "--ruleset", "{left}", "--ruleset", "{left}"], 2, "the same rules"),
        (["{log}", *["--ruleset", "{left}"] * 3], 2, "given 3 times"),
        (["{log}", "--ruleset", "missing.toml"], 2, "missing.toml"),
        (["{log}", "--ruleset", "{left}", "--changes", "missing/c.parquet"], 2, "does not exist"),
        (["nowhere.log", "--ruleset", "{left}"], 1, "does not exist"),
        (["{log}", "--ruleset", "{left}", "--default-currency", "EURO"], 2, "three letters"),
    ],
)
def test_wrong_usage_says_what_to_do(
    arguments: list[str], code: int, words: str, log: Path, rules: tuple[Path, Path]
) -> None:
    finished = run("what-if", *(text.format(log=log, left=rules[0]) for text in arguments), code=code)
    assert words in finished.stderr.decode()
    assert finished.stdout == b""


def test_nothing_personal_is_told(rules: tuple[Path, Path], tmp_path: Path) -> None:
    lines = [line.replace("type=x", "type=ftd") for line in RECORDS.values() if not line.startswith("{")]
    (tmp_path / "p.log").write_text("\n".join(lines), encoding="utf-8")
    for flags in ([], ["--json"], ["--changes", tmp_path / "c.parquet"]):
        told = run("what-if", tmp_path / "p.log", "--ruleset", rules[0], "--ruleset", rules[1], *flags).stdout.decode()
        assert "match_key" in told or "event" in told
        assert [text for text in HIDDEN if text in told] == []
    assert [text for text in HIDDEN if text in str(pl.read_parquet(tmp_path / "c.parquet").to_dicts())] == []


def test_hostile_strings_stay_text(tmp_path: Path, rules: tuple[Path, Path]) -> None:
    record = {"click_id": HOSTILE, "conversion_type": "ftd", "value": 1, "currency": HOSTILE}
    (tmp_path / "h.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    command = ["what-if", str(tmp_path / "h.jsonl"), "--ruleset", str(rules[0]), "--integration", HOSTILE, "-q"]
    for flags in ([], ["--json"]):
        for seen in (run(*command, *flags).stdout.decode(), on_terminal(*command, *flags)):
            assert [text for text in ("\x1b[31m", "\x1b]", "\x07", "\x9b", "\u202e") if text in seen] == []
            assert "[red]" in seen
