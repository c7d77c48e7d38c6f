"""The audit's numbers against queries written independently, on the samples and on logs with planted gaps."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.errors import EtlError, InputError, UsageError
from etl.reports.audit.catalogue import ANSWERS, BY_NAME
from etl.reports.audit.report import as_json, make_report
from tests import planted
from tests.commands import run
from tests.effort import draws, thorough
from tests.published import query
from tests.records import LINE

Sheets = dict[str, dict[str, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def folders(sample_tables: Path, planted_tables: Path) -> dict[str, Path]:
    return {"samples": sample_tables, "planted": planted_tables}


@pytest.fixture(scope="module")
def found(folders: dict[str, Path]) -> dict[str, Sheets]:
    return {name: sheets_of(folder) for name, folder in folders.items()}


def sheets_of(folder: Path, **arguments: Any) -> Sheets:
    report = as_json(make_report(folder, arguments.pop("ruleset", None), arguments.pop("zone", "UTC")))
    return {answer["key"]: answer["sheets"] for answer in report["answers"]}


def whole(sheets: Sheets, answer: str) -> dict[str, dict[str, Any]]:
    return {row["measure"]: row for row in sheets[answer]["whole"]}


def money(amounts: list[dict[str, Any]] | None) -> dict[str, Decimal]:
    return {one["currency"]: one["amount"] for one in amounts or []}


HAS = "len(list_filter(issues, lambda i: i.code = '{code}')) > 0"
ABOUT_KEY = "len(list_filter(issues, lambda i: i.code = '{code}' and i.parameter = match_param)) > 0"

#: Measures of conversions in SQL, by answer.
MEASURED = {
    ("match_quality", "by_click_id"): "match_type = 'click_id'",
    ("match_quality", "by_ref_id"): "match_type = 'ref_id'",
    ("match_quality", "by_email"): "match_type = 'email'",
    ("match_quality", "macro_key"): ABOUT_KEY.format(code="unresolved_macro"),
    ("match_quality", "placeholder_key"): ABOUT_KEY.format(code="placeholder_word"),
    ("match_quality", "null_word_key"): ABOUT_KEY.format(code="null_word"),
    ("match_quality", "test_key"): ABOUT_KEY.format(code="test_value"),
    ("match_quality", "double_encoded_key"): ABOUT_KEY.format(code="double_encoded"),
    (
        "lead_trap",
        "lead_by_default",
    ): "event = 'Lead' and event_rule = 'automatic_lead' and coalesce(value, value_repaired) > 0",
    ("unread_parameters", "near_miss_name"): HAS.format(code="near_miss_name"),
    ("alias_conflicts", "alias_conflict"): HAS.format(code="alias_conflict"),
    ("times", "own_time"): "occurred_at_rule = 'parameter'",
    ("times", "other_time"): "occurred_at_repaired is not null",
    ("times", "invalid_time"): HAS.format(code="invalid_timestamp"),
    ("times", "late"): "received_at - coalesce(occurred_at_repaired, occurred_at) > interval 1 day",
    ("times", "future"): HAS.format(code="future_timestamp"),
    ("duplicates", "without_id"): "transaction_id is null",
    ("duplicates", "junk_id"): "lower(trim(transaction_id)) in ('null', 'undefined', 'none', 'nan', 'n/a')",
    ("values", "with_value"): "value is not null",
    ("values", "negative_value"): "value < 0",
    ("values", "invalid_value"): HAS.format(code="invalid_value"),
    ("values", "no_currency"): "value is not null and currency is null",
    ("values", "defaulted_currency"): "value is not null and currency is not null and currency_defaulted",
    ("values", "unknown_currency"): HAS.format(code="unknown_currency"),
    ("values", "invalid_currency"): "not regexp_full_match(currency, '[A-Z]{{3}}')",
    ("values", "items_mismatch"): HAS.format(code="items_total_mismatch"),
    ("traits", "with_email"): "email_sha256 is not null",
    ("traits", "with_phone"): "phone_sha256 is not null",
    ("traits", "with_country"): "country_sha256 is not null",
    ("traits", "prehashed_trait"): HAS.format(code="prehashed_trait"),
    ("traits", "passthrough_dropped"): "conversion_id in (select conversion_id from {passthroughs} where not stored)",
}


@pytest.mark.parametrize("name", ["samples", "planted"])
@pytest.mark.parametrize(("answer", "measure"), MEASURED)
def test_a_measure_of_conversions(
    answer: str, measure: str, name: str, folders: dict[str, Path], found: dict[str, Sheets]
) -> None:
    where = MEASURED[answer, measure]
    sheets = found[name]
    ((count,),) = query(folders[name], f"select count(*) from {{conversions}} where {where}")
    assert whole(sheets, answer)[measure]["count"] == count
    by_day = query(
        folders[name],
        f"select received_at::date, count(*) from {{conversions}} where {where} group by 1 order by 1 nulls last",
    )
    assert [(row["day"], row[measure]) for row in sheets[answer]["by_day"] if row[measure]] == by_day
    by_sender = query(
        folders[name],
        f"select account_id, integration, count(*) from {{conversions}} where {where} group by 1, 2 order by 1, 2",
    )
    rows = sorted(
        sheets[answer]["by_integration"], key=lambda row: (row["account_id"] or "~", row["integration"] or "~")
    )
    assert [(row["account_id"], row["integration"], row[measure]) for row in rows if row[measure]] == by_sender
    if BY_NAME[measure].has_money:
        sums = query(
            folders[name],
            f"select coalesce(currency, ''), sum(value) from {{conversions}} where {where} group by 1"
            " having sum(value) <> 0",
        )
        assert money(whole(sheets, answer)[measure]["money"]) == dict(sums)


@pytest.mark.parametrize("name", ["samples", "planted"])
def test_the_funnel_balances_and_rejections_have_their_money(
    name: str, folders: dict[str, Path], found: dict[str, Sheets]
) -> None:
    sheets, manifest = found[name], json.loads((folders[name] / "_postback_etl.json").read_bytes())
    counts = {row["stage"]: row["count"] for row in sheets["funnel"]["stages"]}
    assert counts["records"] == manifest["records"]
    assert counts["conversions"] == manifest["conversions"]
    for row in query(folders[name], "select reason, count(*) from {rejections} group by 1"):
        assert whole(sheets, "funnel")[row[0]]["count"] == row[1]
    sums = "select coalesce(currency, ''), sum(value) from {rejections} group by 1 having sum(value) <> 0"
    assert money(whole(sheets, "funnel")["rejections"]["money"]) == dict(query(folders[name], sums))
    both = whole(sheets, "funnel")
    assert both["postbacks"]["count"] == both["conversions"]["count"] + both["rejections"]["count"]


@pytest.mark.parametrize("name", ["samples", "planted"])
def test_unknown_types_are_ranked_with_their_money(
    name: str, folders: dict[str, Path], found: dict[str, Sheets]
) -> None:
    sql = """select conversion_type, count(*), sum(value) from {rejections}
             where list_contains(reasons, 'unknown_conversion_type') group by 1 order by 2 desc, 1"""
    rows = found[name]["unknown_types"]["types"]
    got = [(row["conversion_type"], row["rejections"], sum(money(row["money"]).values())) for row in rows]
    assert got == [(kind, count, value or 0) for kind, count, value in query(folders[name], sql)]
    events = {row["conversion_type"]: row["event"] for row in rows}
    assert events["sales"] == "Purchase"
    assert events.get("refund") is None


def test_two_counts_of_unknown_types_are_explained(folders: dict[str, Path]) -> None:
    sql = """select count(*), count(*) filter (reason = 'unknown_conversion_type') from {rejections}
             where list_contains(reasons, 'unknown_conversion_type')"""
    ((every, first),) = query(folders["samples"], sql)
    (answer,) = as_json(make_report(folders["samples"], None, "UTC", ("unknown_types",)))["answers"]
    assert answer["says"][-1] == (
        f"The funnel counts {first} of them as unknown_conversion_type, the others under the reason that comes first:"
        f" missing_identity ({every - first})."
    )


@pytest.mark.parametrize("name", ["samples", "planted"])
def test_repetitions_by_the_time_since_the_first(name: str, folders: dict[str, Path], found: dict[str, Sheets]) -> None:
    sql = """select case when s is null then 'no time to compare' when s <= 1 then 'within a second'
               when s <= 60 then 'within a minute' when s <= 3600 then 'within an hour'
               when s <= 86400 then 'within a day' when s <= 604800 then 'within a week' else 'later' end,
             count(*) filter (duplicate_kind = 'identical'), count(*) filter (duplicate_kind = 'conflicting')
             from (select r.duplicate_kind, trunc(epoch(r.received_at) - epoch(c.received_at)) s
                   from {rejections} r join {conversions} c on c.conversion_id = r.duplicate_of) group by 1"""
    rows = found[name]["duplicates"]["gaps"]
    assert {(row["gap"], row["identical"], row["conflicting"]) for row in rows} == set(query(folders[name], sql))


@pytest.mark.parametrize("name", ["samples", "planted"])
def test_what_became_of_requests_that_failed(name: str, folders: dict[str, Path], found: dict[str, Sheets]) -> None:
    sql = """with tries as (
               select account_id, integration, received_at, http_status, value, match_key,
                      nullif(trim(transaction_id), 'null') id from {conversions}
               union all
               select account_id, integration, received_at, http_status, value, match_key,
                      case when lower(trim(transaction_id)) <> 'null' then trim(transaction_id) end from {rejections}),
             keyed as (select *, case when id is not null then 'i' || id
                              when match_key is not null then 'k' || match_key || '/' || coalesce(value::text, '') end k
                       from tries)
             select case when f.k is null then 'cannot_be_told'
                         when max(s.received_at) > f.received_at then 'tried_again'
                         when max(s.received_at) is not null then 'succeeded_before' else 'never_succeeded' end o
             from (select *, row_number() over () n from keyed where http_status >= 400) f
             left join keyed s on s.k = f.k and s.http_status < 400 and s.integration = f.integration
                              and s.account_id = f.account_id
             group by f.n, f.k, f.received_at"""
    expected: dict[str, int] = {}
    for (outcome,) in query(folders[name], sql):
        expected[outcome] = expected.get(outcome, 0) + 1
    counts = whole(found[name], "failures")
    assert {key: counts[key]["count"] for key in expected} == expected
    assert counts["failed"]["count"] == sum(expected.values())


@pytest.mark.parametrize("name", ["samples", "planted"])
def test_the_scorecard(name: str, folders: dict[str, Path], found: dict[str, Sheets]) -> None:
    sql = """select integration, count(*), count(*) filter (not r), count(*) filter (not r or d) / count(*),
                    count(*) filter (http_status >= 400) / count(*)
             from (select integration, user_agent, http_status, false r, false d from {conversions} union all
                   select integration, user_agent, http_status, true, duplicate_of is not null from {rejections})
             where user_agent like 'Java/%' group by 1 order by 1"""
    rows = [row for row in found[name]["senders"]["scorecard"] if row["sender"] == "Java"]
    sums: dict[str, list[float]] = {}
    for row in rows:
        one = sums.setdefault(row["integration"], [0, 0, 0.0, 0.0])
        for place, value in enumerate((row["postbacks"], row["conversions"])):
            one[place] += value
        one[2] += row["accepted"] * row["postbacks"]
        one[3] += row["failed"] * row["postbacks"]
    got = [(name, one[0], one[1], one[2] / one[0], one[3] / one[0]) for name, one in sorted(sums.items())]
    expected = query(folders[name], sql)
    assert [row[:3] for row in got] == [row[:3] for row in expected]
    assert [row[3:] for row in got] == [pytest.approx(row[3:]) for row in expected]


def test_silence_is_found_by_the_median_of_the_other_weeks(folders: dict[str, Path], found: dict[str, Sheets]) -> None:
    sql = """with counts as (select integration, date_trunc('hour', received_at) h, count(*) n from
               (select integration, received_at from {conversions} union all
                select integration, received_at from {rejections}) group by 1, 2),
             grid as (select g.integration, h, coalesce(n, 0) n from
               (select integration, unnest(generate_series(min(h) + interval 1 hour,
                  (select max(h) from counts) - interval 1 hour, interval 1 hour)) h from counts group by 1) g
               left join counts using (integration, h))
             select a.integration, epoch(a.h), median(b.n) from grid a join grid b on a.integration = b.integration
               and a.h <> b.h and dayofweek(a.h) = dayofweek(b.h) and hour(a.h) = hour(b.h)
             group by a.integration, a.h, a.n having median(b.n) >= 10 and a.n <= 0.1 * median(b.n) order by 2"""
    hours = query(folders["planted"], sql)
    spans = found["planted"]["times"]["silent"]
    assert sum(row["hours"] for row in spans) == len(hours)
    assert sum(row["expected"] for row in spans) == sum(hour[2] for hour in hours)
    assert (spans[0]["integration"], spans[0]["since"], spans[0]["hours"]) == ("shop", planted.SILENT_DAY, 24)
    assert (spans[1]["since"], spans[1]["until"]) == planted.HOLE
    (hole,) = found["planted"]["times"]["holes"]
    assert (hole["before"].rpartition("/")[2], hole["after"].rpartition("/")[2]) == ("access.log.1", "access.log")


def test_a_sender_whose_clock_is_in_another_zone(found: dict[str, Sheets]) -> None:
    (row,) = found["planted"]["times"]["offsets"]
    assert (row["integration"], row["offset_hours"], row["share"]) == ("tracker", 2.0, 1.0)
    assert row["means"] == "local time of UTC+02:00 sent as if it were UTC"
    assert found["samples"]["times"]["offsets"] == []


def test_keys_that_were_cut_off(folders: dict[str, Path], found: dict[str, Sheets]) -> None:
    sql = """select a.match_key, min(b.match_key), count(distinct a.conversion_id)
             from {conversions} a join {conversions} b
               on a.integration = b.integration and length(a.match_key) = 16 and length(b.match_key) = 21
               and starts_with(b.match_key, a.match_key) group by 1 order by 1"""
    rows = found["planted"]["match_quality"]["cut_off"]
    assert [(row["match_key"], row["whole_key"], row["conversions"]) for row in rows] == query(folders["planted"], sql)
    assert len(rows) == 134
    assert whole(found["planted"], "match_quality")["cut_off_key"]["count"] == 134
    assert whole(found["planted"], "match_quality")["odd_length_key"]["count"] == 134


def test_ids_that_are_the_same_for_every_order(folders: dict[str, Path], found: dict[str, Sheets]) -> None:
    ((count,),) = query(folders["planted"], "select count(*) from {rejections} where transaction_id = '1'")
    (row,) = found["planted"]["duplicates"]["repeated_ids"]
    assert (row["integration"], row["transaction_id"], row["kind"], row["records"]) == (
        "legacy",
        "1",
        "constant",
        count,
    )


@pytest.mark.parametrize("part", [4_000_000, 7])
def test_likely_duplicates_without_an_id(part: int, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sql = """select account_id, integration, count(*) from (
               select *, epoch(received_at) - epoch(lag(received_at) over (
                 partition by account_id, integration, match_type, match_key, event, value, currency
                 order by received_at)) gap
               from {conversions} where transaction_id is null and received_at is not null
               and len(list_filter(issues, lambda i: i.parameter = match_param and i.code in
                 ('unresolved_macro', 'null_word', 'test_value', 'double_encoded'))) = 0)
             where gap <= 600 group by 1, 2 order by 3 desc, 1, 2"""
    for limit in ("_SORTED_HASHES", "_READ_HASHES"):
        monkeypatch.setattr(f"etl.reports.audit.repeated_rows.{limit}", part)
    rows = sheets_of(folders["samples"])["duplicates"]["likely"]
    got = [(row["account_id"], row["integration"], row["conversions"]) for row in rows]
    assert got == query(folders["samples"], sql)


def test_ids_that_are_the_click_id_rebills_and_ids_in_two_integrations(tmp_path: Path) -> None:
    sale = "click_id=c1&conversion_type=sale&value=29&currency=USD&transaction_id="
    lines = [LINE.format(f"{sale}c1").replace(":00 +", f":{second:02d} +") for second in range(3)]
    lines += [LINE.format(f"{sale}S1").replace("01/May", f"{day}/May") for day in ("01", "08", "15")]
    lines += [LINE.format(f"{sale}T1"), LINE.format(f"{sale}T1").replace("/collect/", "/collect/server-")]
    (tmp_path / "access.log").write_text("".join(lines), encoding="utf-8")
    etl.run([tmp_path / "access.log"], tmp_path / "out")
    rows = sheets_of(tmp_path / "out")["duplicates"]["doubtful"]
    found = {row["kind"]: (row["integration"], row["records"], money(row["money"])) for row in rows}
    assert found == {
        "the id is the click id": ("shop", 2, {"USD": Decimal(58)}),
        "the same amount weeks later": ("shop", 2, {"USD": Decimal(58)}),
        "one id in several integrations": ("server-shop, shop", 1, {"USD": Decimal(29)}),
    }
    says = next(
        answer["says"]
        for answer in as_json(make_report(tmp_path / "out", None, "UTC"))["answers"]
        if answer["key"] == "duplicates"
    )
    assert any("removed 2 records, worth USD 58.00, whose transaction_id is the click id" in text for text in says)
    assert any('dedup_window = "1d"' in text for text in says)


def test_near_misses_and_what_they_would_have_filled(found: dict[str, Sheets]) -> None:
    rows = {(row["parameter"], row["integration"]): row for row in found["samples"]["unread_parameters"]["near_misses"]}
    assert rows["firstname", "leadform"]["field"] == "first_name"
    assert rows["clicked", "shop-checkout"] | {"account_id": ""} == {
        "account_id": "",
        "integration": "shop-checkout",
        "parameter": "clicked",
        "read_as": "click_id",
        "field": "click_id",
        "conversions": 0,
        "would_fill": 0,
        "rejections": 1,
    }
    names = {row["parameter"]: row for row in found["samples"]["unread_parameters"]["names"]}
    assert (names["offer_id"]["times"], names["ammount"]["field"]) == (484, "value")


def written(folder: Path, *queries: str, **options: Any) -> Path:
    """The tables of a log of these queries, a second apart."""
    folder.mkdir(exist_ok=True)
    lines = (LINE.replace(":00 +", f":{number % 60:02d} +").format(text) for number, text in enumerate(queries))
    (folder / "access.log").write_text("".join(lines), encoding="utf-8")
    etl.run([folder / "access.log"], folder / "out", **options)
    return folder / "out"


def test_the_other_alias_order(tmp_path: Path) -> None:
    queries = (
        "click_id=1&value=2&amount=3",
        "click_id=2&amount=3&value=2",
        "click_id=3&clickid=4",
        "click_id=4&value=5&amount=5",
    )
    listed = whole(sheets_of(written(tmp_path / "a", *queries)), "alias_conflicts")
    assert (listed["alias_conflict"]["count"], listed["other_order"]["count"]) == (3, 2)
    ruleset = replace(etl.Ruleset(), alias_order="payload")
    out = written(tmp_path / "b", *queries, ruleset=ruleset)
    (tmp_path / "payload.toml").write_text('name = "p"\nalias_order = "payload"\n', encoding="utf-8")
    payload = sheets_of(out, ruleset=str(tmp_path / "payload.toml"))
    verdicts = {(row["winner"], row["losers"]): row["other_order"] for row in payload["alias_conflicts"]["conflicts"]}
    assert verdicts == {("value", "amount"): "stays", ("amount", "value"): "changes", ("click_id", "clickid"): "stays"}
    assert whole(payload, "alias_conflicts")["other_order"]["count"] == 1


def test_unreadable_values_by_shape(tmp_path: Path) -> None:
    out = written(tmp_path, *(f"click_id={n}&value=%24{n}.50" for n in range(1, 40)), "click_id=x&value=free")
    dressed, free = sheets_of(out)["values"]["unreadable"]
    assert (dressed["shape"], dressed["conversions"], dressed["example"]) == ("$9.9", 39, "$1.50")
    assert dressed["meant"] == Decimal("1.5")
    assert money(dressed["money_meant"]) == {"USD": sum(Decimal(n) + Decimal("0.5") for n in range(1, 40))}
    assert (free["shape"], free["meant"]) == ("free", None)


def test_days_are_those_of_the_zone(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(LINE.replace("12:00:00", "23:30:00").format("click_id=1"), encoding="utf-8")
    etl.run([log], tmp_path / "out")
    for zone, day in (("UTC", "2024-05-01"), ("Europe/Berlin", "2024-05-02")):
        sheets = sheets_of(tmp_path / "out", zone=zone)
        assert [str(row["day"]) for row in sheets["funnel"]["by_day"]] == [day]


def test_values_that_cannot_be_added_up_are_left_out(tmp_path: Path) -> None:
    out = written(tmp_path, "click_id=1&value=9e28&currency=EUR", "click_id=2&value=9e28&currency=EUR")
    values = whole(sheets_of(out), "values")
    assert (values["outlandish_value"]["count"], values["with_value"]["count"]) == (2, 2)
    assert money(values["with_value"]["money"]) == {}


def test_empty_tables_have_answers_too(tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    etl.run([tmp_path / "empty.log"], tmp_path / "out")
    report = make_report(tmp_path / "out", None, "UTC")
    assert [section.number for section in report.sections] == list(range(1, 13))
    assert all(section.sentences and all(section.sentences) for section in report.sections)


def test_every_answer_has_its_own_key_and_known_measures() -> None:
    assert len({answer.key for answer in ANSWERS}) == len(ANSWERS) == 12
    for answer in ANSWERS:
        assert {answer.base, *answer.measures, *answer.days_chart} <= BY_NAME.keys()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return written(tmp_path / "small", "click_id=a&value=5&currency=EUR", "value=5", "click_id=b&conversion_type=sales")


def test_the_command_shows_tables_of_eighty_columns(folders: dict[str, Path]) -> None:
    for folder in [*folders.values()][: draws(1, 2)]:
        text = run(
            "audit", folder, "--answer", "all", "--rows", 10, env={**os.environ, "COLUMNS": "80"}
        ).stdout.decode()
        assert [line for line in text.splitlines() if len(line) > 80] == []
        assert [answer.title for answer in ANSWERS if f"{answer.title} ({answer.key})" not in text] == []
        assert "\x1b" not in text


def test_tables_are_unlimited_in_a_pipe_and_begin_with_what_is_lost(folders: dict[str, Path]) -> None:
    call = ("audit", folders["samples"], "--answer", "lead_trap", "--answer", "traits")
    text = run(*call).stdout.decode()
    assert "more rows" not in text
    assert "and the columns" not in text
    (trap, traits) = (part.split("By day")[0].splitlines()[3:] for part in text.split("By integration")[1:])
    for table, columns in ((trap, 1), (traits, 2)):
        lost = [sum(map(int, re.split(r" {2,}", line.replace(",", ""))[3 : 3 + columns])) for line in table if line]
        assert lost == sorted(lost, reverse=True)
        assert lost[0] > 0
    assert "and 9 more rows" in run(*call, "--rows", 3).stdout.decode()


def test_what_costs_most_is_told_first_with_its_cure(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        text = run("audit", folder.name, env={**os.environ, "COLUMNS": "80"}, cwd=folder.parent).stdout.decode()
        assert [line for line in text.splitlines() if len(line) > 80] == []
        assert len(text.splitlines()) < 77
        answers = json.loads(run("audit", folder, "--json").stdout)["answers"]
        ranked = sorted((one for one in answers if one["rank"]), key=lambda one: one["rank"])
        headings = [
            f"{one['title']} ({one['key']})" + (f": {one['lost']:,} record" if one["lost"] else "") for one in ranked
        ]
        places = [text.find(heading) for heading in headings]
        assert places == sorted(places)
        assert places[0] > 0
        for one in ranked:
            assert one["cure"].split()[0] in text
            assert bool(one["examples"]) == bool(one["lost"])
        for one in ranked[:: draws(4, 1)]:
            for example in one["examples"][: draws(1, 3)]:
                assert run("explain", f"{folder}:{example}", code=None).returncode in (0, 1)  # 1: its input is gone
        first, second = (
            {stake["currency"]: abs(float(stake["amount"])) for stake in one["at_stake"]} for one in ranked[:2]
        )
        assert first.get("EUR", 0) >= second.get("EUR", 0)
        lost = [one["title"] for one in answers if not one["rank"]]
        assert f"No loss was found in: {', '.join(lost)}." in " ".join(text.split()) if lost else "No loss" not in text
    assert "\nTime (times)\n30 hours were silent; " in text


def test_the_first_sentence_says_who_sent_what_is_lost(folders: dict[str, Path]) -> None:
    answers = as_json(make_report(folders["planted"], None, "UTC"))["answers"]
    says = {answer["key"]: answer["says"] for answer in answers}
    assert says["lead_trap"][0].endswith(" All 535 come from integration legacy, sent by Java, in the parameter value.")
    assert says["duplicates"][0].endswith(
        " All 125 come from integration legacy. Integration legacy sends the transaction_id '1' for many orders."
    )
    for key, sender in (("failures", "legacy"), ("match_quality", "legacy"), ("unknown_types", "leads")):
        assert says[key][0].endswith(f" come from integration {sender}.")
    assert not any(re.search(r"(^|[ (])0 [a-z]+ (is|are|was|were)", text) for texts in says.values() for text in texts)


def test_the_cure_of_silence_is_not_that_of_timestamps(folders: dict[str, Path]) -> None:
    cures = {
        name: next(
            section.cure for section in make_report(folder, None, "UTC").sections if section.answer.key == "times"
        )
        for name, folder in folders.items()
    }
    assert cures["planted"] == "Look for the silent hours at the sender, and for gaps among the log files."
    assert cures["samples"] == "Send timestamp in seconds since 1970, in UTC."


def test_the_command_as_json_and_of_one_answer(small: Path) -> None:
    report = json.loads(run("audit", small, "--json", "--answer", "lead_trap").stdout)
    (answer,) = report["answers"]
    assert (answer["number"], answer["key"]) == (3, "lead_trap")
    assert answer["sheets"]["senders"][0]["money"] == [
        {"currency": "EUR", "amount": "5", "by_event": [{"event": "Lead", "amount": "5"}]}
    ]
    assert run("audit", small, "--quiet").stdout == b""


def test_markup_and_control_characters_are_text(tmp_path: Path) -> None:
    out = written(tmp_path, "click_id=1&conversion_type=%5Bbold%5Dx%5B%2Fbold%5D%1B%5B2J%E2%80%AE")
    text = run("audit", out, "--answer", "unknown_types").stdout.decode()
    assert r"[bold]x[/bold]\x1b[2J\u202e" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("damage", "arguments", "code", "words"),
    [
        (None, ["{folder}x"], 1, "is not a folder"),
        (None, ["{folder}", "--answer", "sales"], 2, "funnel, match_quality"),
        (None, ["{folder}", "--timezone", "Mars"], 2, "Europe/Berlin"),
        (None, ["{folder}", "--ruleset", "nothing"], 2, "nothing"),
        pytest.param(None, ["{folder}", "--html", "missing/report.html"], 1, "cannot be written", marks=thorough),
        ("manifest", ["{folder}"], 2, "no tables were published"),
        ("garbled", ["{folder}"], 1, "cannot be read"),
        ("table", ["{folder}"], 2, "no table 'items'"),
        ("parquet", ["{folder}"], 1, "is not a Parquet file"),
        ("old", ["{folder}"], 2, "earlier version"),
    ],
)
def test_a_bad_call_is_two_lines(damage: str | None, arguments: list[str], code: int, words: str, small: Path) -> None:
    if damage == "manifest":
        (small / "_postback_etl.json").unlink()
    elif damage == "garbled":
        (small / "_postback_etl.json").write_text("{", encoding="utf-8")
    elif damage == "table":
        shutil.rmtree(small / "items")
    elif damage == "parquet":
        (small / "conversions" / "part-00000.parquet").write_bytes(b"nothing")
    elif damage == "old":
        path = small / "rejections" / "part-00000.parquet"
        pl.read_parquet(path).drop("value").write_parquet(path)
    finished = run("audit", *(argument.format(folder=small) for argument in arguments), code=code)
    lines = finished.stderr.decode().splitlines()
    assert len(lines) == 2, lines
    assert lines[0].startswith("error: ")
    assert words in finished.stderr.decode()
    assert finished.stdout == b""


def test_a_ruleset_that_is_not_at_hand_is_said(tmp_path: Path) -> None:
    (tmp_path / "house.toml").write_text('name = "house"\n[events]\ndeposit = "Purchase"\n', encoding="utf-8")
    (tmp_path / "log").write_text(LINE.format("click_id=1&conversion_type=deposits"), encoding="utf-8")
    run("run", tmp_path / "log", "--out", tmp_path / "out", "--ruleset", tmp_path / "house.toml", "-q")
    assert "'house'" in make_report(tmp_path / "out", None, "UTC").notes[0]
    report = make_report(tmp_path / "out", str(tmp_path / "house.toml"), "UTC")
    assert report.notes == []
    (correction,) = report.sections[3].sheets[1].rows["correction"]
    assert correction == "send 'deposit'"


def test_damage_that_is_found_late_is_an_input_error(small: Path) -> None:
    path = small / "conversions" / "part-00000.parquet"
    content = path.read_bytes()
    path.write_bytes(b"PAR1" + bytes(len(content) // 2) + content[len(content) // 2 + 4 :])
    with pytest.raises((InputError, UsageError)) as caught:
        make_report(small, None, "UTC")
    assert isinstance(caught.value, EtlError)
