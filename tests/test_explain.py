"""`explain`: what it tells of a record is what a run makes of it, named, masked where personal, and never obeyed."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest

import etl
from etl.reports import explain as explained
from etl.reports.explain.explanation import Explanation
from etl.reports.explain.wording import CURRENCY_FAULTS, EVENTS, NAMES, ORIGINS, TIMES, USES
from etl.rules import page
from etl.steps.issues import ISSUES
from tests.adversary import FORMATS, GENERATORS
from tests.commands import on_terminal, run
from tests.effort import IS_THOROUGH, draws
from tests.records import HIDDEN, HOSTILE, LINE, RECORDS

ROOT = Path(__file__).parents[1]
SNAPSHOT = Path(__file__).parent / "snapshots" / "explain.txt"
URL = "https://t.example.com/acme/collect/shop?"
ITEMS = quote('[{"id": "A1", "price": 5, "qty": 2}, {"sku": "B2", "price": "1,50"}, 7]')

#: What a reader should see told: title -> arguments.
TOLD = {
    "a purchase": [URL + "click_id=abc&conversion_type=sale&value=12.50&currency=eur&transaction_id=T1"],
    "the Lead trap": [URL + "clickid=abc&value=49"],
    "aliases that differ": [URL + "amount=5&commission=7&click=abc&conversion_type=cps", "--default-currency", "EUR"],
    "names that nobody reads": [URL + "ref=r1&firstname=Ada&conversionType=sale&foo=1&XAT_a=1"],
    "odd values": [URL + "click_id=%7Bclickid%7D&value=$12&cur=xxq&timestamp=1714564800000&transaction_id=null"],
    "a person": ['{"email":"ada@example.com","full_name":"Ada Sample","state":"CA","country":"US"}'],
    "items and passthroughs": [
        f"click_id=abc&value=10&items={ITEMS}&xat_a=1&xat_b=2&xat_c=3&xat_d=4&xat_e=5&xat_f=6&xat_a=9&xat_g="
    ],
    "several items arrays": [
        "click_id=abc&products=[{%22id%22:1}]&line_items=x&items=[]&line_items[0][id]=7&line_items[0][id]=8"
    ],
    "structures": ['{"click_id":["a"],"ref_id":"r","value":{"amount":1},"items[0][id]":"x","xat_o":{"b":[1.0]}}'],
    "a ruleset": [
        '{"id": 1, "total_price": "9.90", "note_attributes": [{"name": "click_id", "value": "abc"}]}',
        "--ruleset",
        "shopify",
    ],
    "an event of a vendor": [
        (
            '{"object": "event", "type": "charge.refunded", "created": 1714557600, "livemode": false, "data": {'
            '"object": {"id": "ch_1", "amount_refunded": 500, "currency": "jpy", "metadata": {"click_id": "abc"}}}}'
        ),
        "--ruleset",
        "stripe",
    ],
    "a postback that is left out": [URL + "subid=abc&payout=2&status=hold", "--ruleset", "tracker"],
    "a vendor that is recognised": [URL + "subid=abc&payout=2&status=sale"],
    "a log line": [LINE.format("click_id=abc&event=Trial%20Start&conversion_type=x").strip()],
    "no identity": [URL + "clickId2=abc&value=5"],
    "an unknown type": [URL + "click_id=abc&conversion_type=purchas&xat_a=1"],
    "both": [URL + "conversion_type=refund"],
    "a malformed body": ['{"method":"POST","path":"/acme/collect/shop","body":"{\\"click_id\\":"}'],
    "a malformed record": ['{"click_id": "a"'],
    "a body that was not logged": [LINE.format("").replace("GET", "POST").replace("?", "").strip()],
    "a postback that nothing reads": ['{"note":"https://t.example.com/acme/collect/shop?click_id=abc"}'],
    "another path": ["https://t.example.com/robots.txt"],
}


def tell(*arguments: str, stdin: bytes = b"") -> str:
    return run("explain", *arguments, stdin=stdin).stdout.decode()


def data_of(*arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(tell(*arguments, "--json"))
    return told


@pytest.fixture(scope="module")
def made() -> dict[str, Explanation]:
    """The explanations that were made."""
    return {}


@pytest.fixture
def _explained_once(made: dict[str, Explanation], monkeypatch: pytest.MonkeyPatch) -> None:
    """An explanation of the same record by the same rules is made once, however often it is shown."""
    make = explained.explain

    def explain(*arguments: Any) -> Explanation:
        return made.get(repr(arguments)) or made.setdefault(repr(arguments), make(*arguments))

    monkeypatch.setattr(explained, "explain", explain)


@cache
def data_of_told(title: str) -> dict[str, Any]:
    return data_of(*TOLD[title])


@pytest.mark.usefixtures("_explained_once")
def test_what_is_told_is_what_it_was() -> None:
    text = "\n".join(
        f"# {title}\n$ postback-etl explain {' '.join(words)}\n{tell(*words)}" for title, words in TOLD.items()
    )
    if not SNAPSHOT.exists():
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8"), "remove the snapshot, run again, and read its diff"


@pytest.mark.usefixtures("_explained_once")
def test_every_wording_issue_and_reason_is_told_somewhere() -> None:
    told = [data_of_told(title) for title in TOLD]
    uses = {use["use"] for one in told for use in one["parameters"]}
    assert {row.code for row in USES} - uses == set()
    lines = [line for one in told for step in one["steps"] for line in step["lines"]]
    reasons = {line["value"] for line in lines if line["what"] == "rejection"}
    assert {row.code for row in page.REJECTIONS} - reasons == {"duplicate_transaction"}
    issues = {line["what"] for line in lines} & {issue.code for issue in ISSUES}
    assert len(issues) >= 12
    whys = " ".join(line["why"] for line in lines) + str([one["record"] for one in told])
    rows = (*EVENTS, *CURRENCY_FAULTS, *TIMES, *NAMES, *ORIGINS)
    assert {row.words for row in rows if row.words not in whys} == {
        "first and last name were sent separately",
        "the query, given as an object",
        "the body, a form",
        "not three letters: kept as sent",
    }


def test_every_statement_names_what_it_rests_on() -> None:
    headings = {field.source.partition(":")[0] for field in (*page.CORE_FIELDS, *page.EXACT_FIELDS)}
    headings |= {"Items Array", "Passthrough Parameters", "Limits and Defaults", "conversion_type to Event Mapping"}
    pattern = rf"(?:(?:{'|'.join(map(re.escape, headings))}|ruleset \w+)(?:: [^;]*)?; )?rules [\da-z., ]+|https?://\S+"
    for title in TOLD:
        told = data_of_told(title)
        lines = [*told["record"], *told["parameters"], *(line for step in told["steps"] for line in step["lines"])]
        sources = [line["source"] for line in lines if line["source"] not in headings]
        assert [source for source in sources if not re.fullmatch(pattern, source)] == []


def test_json_has_one_shape() -> None:
    for title in TOLD:
        told = data_of_told(title)
        assert list(told) == ["outcome", "ruleset", "record", "parameters", "steps", "tables", "notes"]
        assert told["outcome"] in ("conversion", "rejection", "skipped")
        assert told["ruleset"].keys() == {"name", "digest"}
        for line in (*told["record"], *(line for step in told["steps"] for line in step["lines"])):
            assert list(line) == ["what", "value", "why", "source"]
            assert all(text is None or isinstance(text, str) for text in line.values())
        for use in told["parameters"]:
            assert list(use) == ["parameter", "value", "folded", "field", "use", "instead", "source"]


def test_a_row_that_was_written_is_what_its_record_becomes(sample_tables: Path) -> None:
    conversions = pl.read_parquet(sample_tables / "conversions").gather_every(draws(2_000, 300))
    rejections = pl.read_parquet(sample_tables / "rejections").group_by("reason").head(draws(1, 2))
    assert rejections["reason"].n_unique() == len(page.REJECTIONS) - 1  # no sample is an unread postback
    for table, rows in (("conversions", conversions), ("rejections", rejections)):
        for row in rows.to_dicts():
            told = data_of(f"{sample_tables}:{row['conversion_id' if table == 'conversions' else 'rejection_id']}")
            assert told["notes"] == []
            (seen,) = told["tables"][table]
            expected = json.loads(pl.DataFrame([row], schema=rows.schema).select("source", "record_no").write_json())[0]
            assert {name: seen[name] for name in expected} == expected
            assert [seen.get(name) for name in ("event", "reason", "duplicate_of", "match_key")] == [
                row.get(name) for name in ("event", "reason", "duplicate_of", "match_key")
            ]


@pytest.mark.parametrize("kind", GENERATORS)
def test_whatever_a_record_holds_it_can_be_told(kind: str, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(GENERATORS[kind](7, draws(4, 20)))
    etl.run([tmp_path / "input"], tmp_path / "out", format=FORMATS[kind])
    tables = [pl.read_parquet(tmp_path / "out" / name) for name in ("conversions", "rejections")]
    places = [place for table in tables for place in table.to_series()]
    assert len(places) > draws(1, 10)
    for place in places:
        assert "\nnotes\n" not in tell(f"{tmp_path / 'out'}:{place}")


def test_a_row_under_other_rules_or_options_says_so(sample_tables: Path, tmp_path: Path) -> None:
    rows = pl.read_parquet(sample_tables / "conversions").filter(pl.col("event_rule") == "automatic_commission")
    (tmp_path / "house.toml").write_text('[events]\nftd = "Purchase"\n', encoding="utf-8")
    row = rows.filter(pl.col("currency_defaulted")).to_dicts()[0]
    place = f"{sample_tables}:{row['conversion_id']}"
    told = data_of(place, "--ruleset", str(tmp_path / "house.toml"), "--default-currency", "USD")
    assert told["notes"] == [
        "The row was written with the ruleset builtin; this explains house.toml.",
        "The written row differs in currency: give the options of its run.",
    ]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", ["log", "array"])
def test_a_record_of_a_file(kind: str, pack: Any, tmp_path: Path) -> None:
    payloads = [f'{{"click_id": "k{i}",\n "value": {i}}}' for i in range(5)]
    text = "".join(LINE.format(f"click_id=k{i}") for i in range(5)) if kind == "log" else f"[{','.join(payloads)}]"
    path = tmp_path / "in put:1"
    path.write_bytes(pack(text.encode()))
    for number in (1, 3, 5):
        (row,) = data_of(f"{path}:{number}")["tables"]["conversions"]
        assert (row["match_key"], row["record_no"]) == (f"k{number - 1}", number)
    assert b"has no record 6" in run("explain", f"{path}:6", code=1).stderr
    assert b"has no record 0" in run("explain", f"{path}:0", code=1).stderr


def test_a_record_past_the_first_split_and_in_an_archive(tmp_path: Path) -> None:
    import zipfile

    lines = [LINE.format(f"click_id=k{i}&pad={'x' * 2000}") for i in range(9000)]
    (tmp_path / "big.log").write_text("".join(lines), encoding="utf-8")
    (row,) = data_of(f"{tmp_path / 'big.log'}:8500")["tables"]["conversions"]
    assert (row["match_key"], row["byte_offset"]) == ("k8499", len("".join(lines[:8499])))
    with zipfile.ZipFile(tmp_path / "logs.zip", "w") as archive:
        archive.writestr("deep/a.log", "".join(lines[:3]))
    assert data_of(f"{tmp_path / 'logs.zip'}/deep/a.log:2")["tables"]["conversions"][0]["match_key"] == "k1"
    assert b"holds no other.log" in run("explain", f"{tmp_path / 'logs.zip'}/other.log:2", code=1).stderr


def test_standard_input_and_several_records() -> None:
    log = LINE.format("click_id=a") + LINE.format("click_id=b")
    assert "source: - (record 1" in tell("-", stdin=log.encode())
    assert "Only the first record is explained; 1 more were given." in tell("-", stdin=log.encode())
    assert "click_id = \ufffd ->" in tell("-", stdin=b"click_id=\xff\n")


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("", 2, "nothing to explain"),
        ("hello world", 2, "FILE:LINE"),
        ("missing/access.log:3", 1, "does not exist"),
        ("missing.log:3", 1, "does not exist"),
        ("{folder}", 2, "STORE:CONVERSION_ID"),
        ("{folder}/empty.log", 2, "FILE:LINE"),
        ("{folder}/empty.log:1", 1, "has no record 1"),
        ("{folder}:0123456789abcdef0123456789abcdef", 2, "no tables were published"),
        ("{written}:0123456789abcdef0123456789abcdef", 1, "no conversion and no rejection"),
        ("{folder}/error.log:1", 2, "error log of nginx"),
        ("{long}:0123456789abcdef0123456789abcdef", 1, "does not exist"),
        ("{long}:7", 1, "does not exist"),
    ],
)
def test_what_cannot_be_explained_is_two_lines(
    what: str, code: int, words: str, sample_tables: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.log").touch()
    (tmp_path / "error.log").write_text("2024/05/01 12:00:00 [error] 7#7: *1 open() failed\n" * 9, encoding="utf-8")
    finished = run("explain", what.format(folder=tmp_path, written=sample_tables, long="x" * 5000), code=code)
    lines = finished.stderr.decode().splitlines()
    assert (len(lines), finished.stdout) == (2, b"")
    assert words in finished.stderr.decode()


def test_a_source_that_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LINE.format("click_id=a"), encoding="utf-8")
    etl.run([tmp_path / "a.log"], tmp_path / "out")
    row_id = pl.read_parquet(tmp_path / "out" / "conversions")["conversion_id"][0]
    (tmp_path / "a.log").write_text(LINE.format("click_id=b"), encoding="utf-8")
    assert b"has changed since" in run("explain", f"{tmp_path / 'out'}:{row_id}", code=1).stderr


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_hostile_strings_stay_text(flags: list[str]) -> None:
    payload = {"click_id": HOSTILE, "value": HOSTILE, HOSTILE: HOSTILE, "event": HOSTILE, "items": [{"name": HOSTILE}]}
    payload |= {"timestamp": HOSTILE, "currency": HOSTILE, f"xat_{HOSTILE}": HOSTILE, "transaction_id": HOSTILE}
    for record in (payload, {**payload, "click_id": "", "event": "", "conversion_type": HOSTILE}):
        for seen in (tell(json.dumps(record), *flags), on_terminal("explain", json.dumps(record), *flags)):
            assert [char for char in re.sub(r"\x1b\[[0-9;]*m", "", seen) if char in "\x1b\x07\x9b\u202e"] == []
            assert "\x1b[31mx" not in seen
            assert "[red]" in seen
            assert "[/red]" in seen


def test_a_terminal_sees_tables_in_colour_that_fit() -> None:
    seen = on_terminal("explain", *TOLD["odd values"])
    assert "\x1b[1m" in seen
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen)
    assert max(len(line.rstrip()) for line in plain.splitlines()) <= 80
    assert "unresolved_macro" in plain
    assert b"\x1b" not in run("explain", *TOLD["odd values"]).stdout


@pytest.mark.usefixtures("_explained_once")
@pytest.mark.parametrize("label", RECORDS)
def test_nothing_personal_is_told(label: str, tmp_path: Path) -> None:
    record = RECORDS[label].partition("\n")[0]
    kind = "jsonl" if record.startswith("{") else "combined"
    (tmp_path / "input").write_text(RECORDS[label] + "\n", encoding="utf-8")
    turn = list(RECORDS).index(label)
    for pii in ("hash", "drop") if IS_THOROUGH else ("hash" if turn % 3 else "drop",):
        for flags in ([], ["--json"]) if IS_THOROUGH else (["--json"] if turn % 4 == 3 else [],):
            told = tell(record, "--format", kind, "--pii", pii, *flags)
            if turn % 2 or IS_THOROUGH:
                told += tell(f"{tmp_path / 'input'}:1", "--pii", pii, "--format", kind, *flags)
            assert [text for text in HIDDEN if text in told] == []


def test_blanks_in_an_argument_hide_nothing_personal() -> None:
    for what in ("conversion_type=x&full_name=Zqwxvina Qxwzson&click_id=1", "name=Zqwxvina Qxwzson&value=1"):
        told = tell(what)
        assert [text for text in HIDDEN if text in told] == []
    assert "Zqwxvina Qxwzson" in tell("name=Zqwxvina Qxwzson&value=1", "--pii", "keep")
