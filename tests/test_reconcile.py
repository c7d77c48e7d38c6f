"""Published tables against exports: what matches by what, why rows do not agree, the days, the shift of time zones."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.errors import InputError, UsageError
from etl.reports.reconcile.causes import CAUSES
from etl.reports.reconcile.export_columns import ROLES, find_columns
from etl.reports.reconcile.exports import Export, read_export
from etl.reports.reconcile.gaps import BANDS
from etl.reports.reconcile.matching import Tolerance
from etl.reports.reconcile.reconciliation import ReconcileRequest, Reconciliation, reconcile, summarise
from tests.commands import run
from tests.effort import thorough
from tests.places import SHARED
from tests.published import query
from tests.records import LINE

OURS = (
    "click_id=c1&conversion_type=sale&value=10&currency=EUR&transaction_id=T1",
    "click_id=c2&conversion_type=sale&value=20&currency=EUR&transaction_id=T2",
    "click_id=c3&conversion_type=sale&value=30&currency=EUR&transaction_id=T3",
    "click_id=c4&conversion_type=sale&value=40&currency=EUR&transaction_id=T4",
    "click_id=c5&conversion_type=sale&value=50&currency=EUR",
    "click_id=c6&conversion_type=sale&value=61&currency=EUR",
    "click_id=c7&conversion_type=ftd&value=70&currency=EUR&transaction_id=T7",
    "conversion_type=sale&value=80&currency=EUR&transaction_id=T8",
    "click_id=c9&conversion_type=sale&value=90&currency=EUR&transaction_id=T1",
    "click_id=c10&conversion_type=sale&value=99&currency=EUR&transaction_id=T10",
    "click_id=c1&conversion_type=lead&transaction_id=T1",
)

#: order, sub, amount, currency, time; and what the row is.
THEIRS = (
    (("T1", "c1", "10.00", "EUR", "2024-05-01 12:00:00"), "agrees"),
    (("T1", "c1", "10.00", "EUR", "2024-05-01 12:00:05"), "other value"),  # its pair is the lead of the same id
    (("T2", "c2", "20.00", "USD", "2024-05-01 12:00:01"), "other currency"),
    (("T3", "c3", "31.00", "EUR", "2024-05-01 12:00:02"), "other value"),
    (("T4", "c4", "40.00", "EUR", "2024-05-02 12:00:03"), "other day"),
    (("X5", "c5", "50.00", "EUR", "2024-05-01 12:00:04"), "agrees"),  # by click id
    (("", "", "61.01", "EUR", "2024-05-01 12:04:00"), "agrees"),  # by value and time
    (("T7", "c7", "70.00", "EUR", "2024-05-01 12:00:06"), "rejected: unknown_conversion_type"),
    (("T8", "", "80.00", "EUR", "2024-05-01 12:00:07"), "rejected: missing_identity"),
    (("", "c9", "90.00", "EUR", "2024-05-01 12:00:08"), "duplicate"),
    (("T2", "c2", "20.00", "EUR", "2024-05-01 13:00:00"), "counted twice by them"),
    (("T99", "c99", "5.00", "EUR", "2024-05-01 12:00:09"), "only theirs"),
)
HEADER = ("Order ID", "Sub1", "Sale Amount", "Currency", "Date")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of `OURS`; no test changes them."""
    folder = tmp_path_factory.mktemp("ours")
    lines = (LINE.replace(":00 +", f":{number:02d} +").format(text) for number, text in enumerate(OURS))
    (folder / "access.log").write_text("".join(lines), encoding="utf-8")
    etl.run([folder / "access.log"], folder / "out")
    return folder / "out"


def separated(mark: str) -> bytes:
    rows = [HEADER, *(row for row, _ in THEIRS)]
    return "".join(mark.join(row) + "\n" for row in rows).encode()


def as_dicts() -> list[dict[str, Any]]:
    return [dict(zip(HEADER, row, strict=True)) for row, _ in THEIRS]


def parquet(path: Path) -> None:
    rows = pl.DataFrame(as_dicts())
    rows.with_columns(
        pl.col("Sale Amount").cast(pl.Decimal(10, 2)), pl.col("Date").str.to_datetime("%Y-%m-%d %H:%M:%S")
    ).write_parquet(path)


def jsonl(path: Path) -> None:
    rows = [{**row, "Sale Amount": float(row["Sale Amount"]), "more": {"a": [1]}} for row in as_dicts()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


SHAPES: dict[str, Callable[[Path], Any]] = {
    "a CSV": lambda path: path.write_bytes(separated(",")),
    "a CSV of Excel": lambda path: path.write_bytes(b"\xef\xbb\xbf" + separated(";").replace(b"\n", b"\r\n")),
    "tabs, compressed": lambda path: path.write_bytes(gzip.compress(separated("\t"))),
    "Parquet": parquet,
    "JSON lines": jsonl,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_row_is_matched_or_has_its_cause(shape: str, tables: Path, tmp_path: Path) -> None:
    SHAPES[shape](tmp_path / "export")
    outcome = reconcile(ReconcileRequest(tables, tmp_path / "export"))
    causes = dict(outcome.differences.drop_nulls("row_no").select("row_no", "cause").iter_rows())
    assert {number: causes.get(number, "agrees") for number in range(1, len(THEIRS) + 1)} == {
        number: expected for number, (_, expected) in enumerate(THEIRS, 1)
    }
    only_ours = outcome.differences.filter(pl.col("side") == "ours")
    assert only_ours.select("our_transaction_id", "cause").rows() == [("T10", "only ours")]
    assert dict(outcome.matched.iter_rows()) == {"transaction_id": 5, "click_id": 1, "value and time": 1}
    assert outcome.counts.row(0)[:2] == (8, 12)
    assert outcome.columns == dict(zip([role.name for role in ROLES][: len(HEADER)], HEADER, strict=True))


def test_a_row_that_was_refused_says_what_would_have_worked(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes(separated(","))
    rows = reconcile(ReconcileRequest(tables, tmp_path / "export")).differences
    details = dict(rows.drop_nulls("row_no").select("row_no", "detail").iter_rows())
    assert details[8] == "Unknown conversion_type"
    assert details[9] == "Missing click_id, ref_id and email"
    assert details[5] == "theirs is 24.0 hours later"


def test_an_id_that_we_counted_under_two_events(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "export").write_text("order_id,value,date\nT1,10,2024-05-01\n", encoding="utf-8")
    rows = reconcile(ReconcileRequest(tables, tmp_path / "export")).differences.filter(pl.col("side") == "ours")
    [twice] = rows.filter(pl.col("our_transaction_id") == "T1").to_dicts()
    assert (twice["cause"], twice["detail"]) == ("counted twice by us", "event Lead; that of the matched one Purchase")


def test_an_id_that_we_counted_in_two_integrations(tmp_path: Path) -> None:
    """As a pixel and a server send it."""
    pixel = LINE.format("click_id=c1&conversion_type=sale&value=10&currency=EUR&transaction_id=T1")
    server = pixel.replace("/collect/", "/collect/server-")
    (tmp_path / "access.log").write_text(pixel + server, encoding="utf-8")
    etl.run([tmp_path / "access.log"], tmp_path / "out")
    (tmp_path / "export").write_text("order_id,value,date\nT1,10,2024-05-01\n", encoding="utf-8")
    outcome = reconcile(ReconcileRequest(tmp_path / "out", tmp_path / "export"))
    [twice] = outcome.differences.filter(pl.col("side") == "ours").to_dicts()
    assert twice["cause"] == "counted twice by us"
    assert twice["detail"] == "in integration server-shop; the matched one in shop"


def test_ids_that_a_spreadsheet_dressed_are_nearly_ours(tables: Path, tmp_path: Path) -> None:
    lines = ("#T1,1,2024-05-01", "000T2,2,2024-05-01", "T3.0,3,2024-05-01", "T4,40,2024-05-01", "T,5,2024-05-01")
    (tmp_path / "export").write_text("order_id,value,date\n" + "\n".join(lines), encoding="utf-8")
    outcome = reconcile(ReconcileRequest(tables, tmp_path / "export"))
    assert "3 more transaction ids would match without `#`, `.0` and leading zeros." in outcome.notes
    theirs = outcome.differences.filter(pl.col("side") == "theirs")
    assert theirs["detail"].to_list() == [*(f"nearly our transaction id T{number}" for number in (1, 2, 3)), None]


def test_only_the_events_that_are_asked_for(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes(separated(","))
    outcome = reconcile(ReconcileRequest(tables, tmp_path / "export", events=("Purchase",)))
    causes = dict(outcome.differences.drop_nulls("row_no").select("row_no", "cause").iter_rows())
    assert causes[2] == "duplicate"
    assert outcome.counts.row(0)[:2] == (7, 12)


# -- the days --------------------------------------------------------------------------------------------------


def export_of(planted_tables: Path, path: Path, later: timedelta, *columns: str, without: int = 0) -> None:
    """What the shop's conversions are to another, so much later by its clock, every so-manieth left out."""
    rows = pl.read_parquet(planted_tables / "conversions").filter(pl.col("integration") == "shop").sort("received_at")
    if without:
        rows = rows.with_row_index().filter(pl.col("index") % without != 0)
    at = (pl.col("received_at") + later).dt.strftime("%Y-%m-%d %H:%M:%S")
    rows.select(time=at, order_id="transaction_id", click="match_key", amount="value", currency="currency").select(
        "time", *columns
    ).write_csv(path)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_the_days_and_their_gaps(zone: str, planted_tables: Path, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    export_of(planted_tables, path, timedelta(), "order_id", "amount", "currency", without=30)
    outcome = reconcile(ReconcileRequest(planted_tables, path, zone=zone, integration="shop"))
    sql = f"""with ours as (select (received_at at time zone '{zone}')::date d, count(*) n, sum(value) v
                            from {{conversions}} where integration = 'shop' group by 1),
              theirs as (select ("time" at time zone 'UTC' at time zone '{zone}')::date d, count(*) n,
                         sum(amount::decimal(38, 9)) v
                         from read_csv('{path}', types = {{{{'time': 'TIMESTAMP', 'amount': 'VARCHAR'}}}}) group by 1)
              select d, coalesce(o.n, 0), coalesce(t.n, 0), o.v, t.v
              from ours o full join theirs t using (d) order by d"""
    expected = query(planted_tables, sql)
    first, last = outcome.first, outcome.last
    inside = [row for row in expected if first <= row[0] <= last]
    assert outcome.days.select("day", "ours", "theirs").rows() == [row[:3] for row in inside]
    assert outcome.money.select("day", "ours", "theirs").rows() == [(row[0], *row[3:]) for row in inside]
    for row in outcome.days.iter_rows(named=True):
        assert row["gap"] == pytest.approx((row["ours"] - row["theirs"]) / row["theirs"])
        assert row["band"] == next(name for most, name in BANDS if most is None or abs(row["gap"]) <= most)
    assert outcome.shift is None
    alone = outcome.causes.filter(pl.col("cause") == "only ours")
    assert alone["rows"].to_list() == [len(range(0, 7704, 30))]


@pytest.mark.parametrize(
    ("hours", "columns"),
    [
        pytest.param(hours, columns, marks=[] if turn == number else [thorough])
        for turn, hours in enumerate((2.0, -5.0, 5.5))
        for number, columns in enumerate((("order_id",), ("click", "amount"), ("amount", "currency")))
    ],
)
def test_a_shift_of_time_zones_is_found_and_named(
    hours: float, columns: tuple[str, ...], planted_tables: Path, tmp_path: Path
) -> None:
    export_of(planted_tables, tmp_path / "export.csv", timedelta(hours=hours), *columns)
    outcome = reconcile(ReconcileRequest(planted_tables, tmp_path / "export.csv", integration="shop"))
    assert outcome.shift is not None
    assert outcome.shift.hours == hours
    assert outcome.shift.left < outcome.shift.differing
    zone = {2.0: "UTC+02:00", -5.0: "UTC−05:00", 5.5: "UTC+05:30"}[hours]
    assert zone in summarise(outcome)[1]


def test_a_few_rows_tell_of_no_shift(planted_tables: Path, tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_text("order_id,amount,date\nA1,10.00,2024-05-01\n", encoding="utf-8")
    outcome = reconcile(ReconcileRequest(planted_tables, tmp_path / "export.csv", integration="absent"))
    assert outcome.days.select("ours", "theirs").rows() == [(0, 1)]
    assert outcome.shift is None


def test_the_zone_of_their_times_mends_it(planted_tables: Path, tmp_path: Path) -> None:
    export_of(planted_tables, tmp_path / "export.csv", timedelta(hours=2), "order_id", "amount", "currency")
    request = ReconcileRequest(planted_tables, tmp_path / "export.csv", their_zone="Europe/Berlin", integration="shop")
    outcome = reconcile(request)  # the four weeks lie in summer time
    assert outcome.shift is None
    assert outcome.differences.height == 0
    assert not outcome.exceeds(0.0)


def test_currency_of_an_export_without_one(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "export").write_text("order_id,value,date\nT2,20,2024-05-01\n", encoding="utf-8")
    guessed = reconcile(ReconcileRequest(tables, tmp_path / "export"))
    assert "only currency of ours" in " ".join(guessed.notes)
    assert guessed.totals["currency"].to_list() == ["EUR"]
    said = reconcile(ReconcileRequest(tables, tmp_path / "export", currency="USD"))
    assert said.differences.filter(pl.col("side") == "both")["cause"].to_list() == ["other currency"]


def test_an_export_without_values_has_no_gap_in_money(tables: Path, tmp_path: Path) -> None:
    rows = "".join(f"T{number},2024-05-01\n" for number in (1, 2, 3, 4, 1, 10, 98, 99))
    (tmp_path / "export").write_text(f"order_id,date\n{rows}", encoding="utf-8")
    outcome = reconcile(ReconcileRequest(tables, tmp_path / "export"))
    assert (outcome.totals.height, outcome.money.height) == (0, 0)
    assert not outcome.exceeds(0.0)


def test_tolerances(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "export").write_text("value,date\n61.5,2024-05-01T12:20:05Z\n", encoding="utf-8")

    def matched(value: str, minutes: int) -> Reconciliation:
        tolerance = Tolerance(Decimal(value), timedelta(minutes=minutes))
        return reconcile(ReconcileRequest(tables, tmp_path / "export", tolerance=tolerance))

    assert matched("0.5", 20).matched["rows"].to_list() == [1]
    assert matched("0.49", 20).matched.height == matched("0.5", 19).matched.height == 0


# -- reading exports ---------------------------------------------------------------------------------------------


def test_columns_are_guessed_by_name_and_can_be_said() -> None:
    names = ["Conversion Time", "Payout", "clickId", "event_id", "Currency Code"]
    assert find_columns(names, {}) == {
        "transaction_id": "event_id",
        "click_id": "clickId",
        "value": "Payout",
        "currency": "Currency Code",
        "time": "Conversion Time",
    }
    assert find_columns(names, {"transaction_id": "clickId"})["transaction_id"] == "clickId"
    assert "click_id" not in find_columns(names, {"transaction_id": "clickId"})
    with pytest.raises(UsageError, match="no such column"):
        find_columns(names, {"time": "Day"})
    with pytest.raises(UsageError, match="is not a role"):
        find_columns(names, {"day": "Payout"})


def test_times_and_amounts_in_many_ways(tmp_path: Path) -> None:
    texts = {
        "2024-05-01T14:00:00+02:00": datetime(2024, 5, 1, 12, tzinfo=UTC),
        "2024-05-01 14:00": datetime(2024, 5, 1, 12, tzinfo=UTC),
        "1714564800": datetime(2024, 5, 1, 12, tzinfo=UTC),
        "sometime": None,
    }
    lines = [f'"{text}";"1.234,50 €";x' for text in texts]
    (tmp_path / "export").write_text("\n".join(["date;total;order_id", *lines]), encoding="utf-8")
    export = read_export(tmp_path / "export", {}, "Europe/Berlin", None)
    assert export.rows["at"].to_list() == list(texts.values())
    assert set(export.rows["value"]) == {Decimal("1234.5")}
    assert export.unread == {"time": 1}
    (tmp_path / "other").write_text("date,order_id\n01.05.2024 14:00,x\n", encoding="utf-8")
    export = read_export(tmp_path / "other", {}, "Europe/Berlin", "%d.%m.%Y %H:%M")
    assert export.rows["at"].to_list() == [datetime(2024, 5, 1, 12, tzinfo=UTC)]


def exported(content: str | bytes, tmp_path: Path, zone: str = "UTC") -> Export:
    """Reads an export with this content."""
    (tmp_path / "export").write_bytes(content.encode() if isinstance(content, str) else content)
    return read_export(tmp_path / "export", {}, zone, None)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_titles_above_the_header_and_totals_below(encoding: str, tmp_path: Path) -> None:
    text = "Report\nMay 2024\n\nOrder ID\tTime\tTotal\nTotal1\t2024-05-01\t5\nX2\t2024-05-02\t6\nTotal: all\t\t11\n"
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    export = exported((mark + text).encode(encoding), tmp_path)
    assert export.rows.select("row_no", "transaction_id", "value").rows() == [(1, "Total1", 5), (2, "X2", 6)]
    assert export.notes == ["Rows of totals are left out: 1."]


@pytest.mark.parametrize(
    ("dates", "order", "first"),
    [
        (("05/01/2024", "05/02/2024"), "month/day/year", (2024, 5, 1)),
        (("01/05/2024", "02/05/2024"), "day/month/year", (2024, 5, 1)),  # 4 January to 5 January would be as near
        (("12/05/2024", "13/05/2024"), "day/month/year", (2024, 5, 12)),
        (("05/13/2024", "05/12/2024"), "month/day/year", (2024, 5, 13)),
        (("01.05.2024", "13.05.2024"), "month/day/year", (2024, 5, 1)),
    ],
)
def test_the_order_of_numbers_in_dates(
    dates: tuple[str, ...], order: str, first: tuple[int, int, int], tmp_path: Path
) -> None:
    export = exported("order_id,date\n" + "".join(f"x,{date}\n" for date in dates), tmp_path)
    assert export.rows["at"][0] == datetime(*first, tzinfo=UTC)
    assert any(order in note for note in export.notes)


@pytest.mark.parametrize(
    ("zone", "clock", "hour"),
    [
        ("PST", "02:00:05", 10),
        ("+02:00", "02:00:05 PM", 12),
        ("GMT-1", "12:00:05 am", 1),
        ("Europe/Berlin", "02:00:05", 1),
        ("", "02:00:05", 2),
        ("Mars", "02:00:05", 2),
    ],
)
def test_date_time_and_zone_in_columns_of_their_own(zone: str, clock: str, hour: int, tmp_path: Path) -> None:
    export = exported(f"Date,Time,TimeZone,Transaction ID\n01/31/2024,{clock},{zone},5\n", tmp_path)
    assert export.rows["at"].to_list() == [datetime(2024, 1, 31, hour, 0, 5, tzinfo=UTC)]
    assert export.columns == {"transaction_id": "Transaction ID", "time": "Date", "clock": "Time", "zone": "TimeZone"}


@pytest.mark.parametrize(
    ("rows", "orders"),
    [
        # the total stands in the first row, and the id as well
        (("1,9,2024-05-01,tea", ",,2024-05-01,mug", "2,7,2024-05-01,tea"), [("1", 9), ("2", 7)]),
        # the total stands in each row
        (("1,9,2024-05-01,tea", "1,9,2024-05-01,mug"), [("1", 9)]),
        # each row has its own amount
        (("1,4,2024-05-01,tea", "1,5,2024-05-01,mug"), [("1", 9)]),
        # the same item twice, and another time: counted twice by them
        (("1,9,2024-05-01,tea", "1,9,2024-05-01,tea"), [("1", 9), ("1", 9)]),
        (("1,9,2024-05-01,tea", "1,9,2024-05-02,mug"), [("1", 9), ("1", 9)]),
    ],
)
def test_the_rows_of_line_items_are_one_order(
    rows: tuple[str, ...], orders: list[tuple[str, int]], tmp_path: Path
) -> None:
    export = exported("\n".join(["order_id,total,date,lineitem_name", *rows]), tmp_path)
    assert export.rows.select("transaction_id", "value").rows() == orders


def test_amounts_of_line_items_are_added_even_if_they_are_equal(tmp_path: Path) -> None:
    export = exported("order_id,price_item,date,sku\n1,4,2024-05-01,a\n1,4,2024-05-01,b\n", tmp_path)
    assert "value" not in export.columns
    (tmp_path / "named").write_text("order_id,item_price,date,sku\n1,4,2024-05-01,a\n1,4,2024-05-01,b\n", "utf-8")
    named = read_export(tmp_path / "named", {"value": "item_price"}, "UTC", None)
    assert named.rows["value"].to_list() == [8]


def test_the_sale_is_compared_and_the_share_and_the_status_are_said(tmp_path: Path) -> None:
    rows = "1,2024-05-01,4.5,45,Approved\n2,2024-05-01,1,10,Declined\n"
    export = exported("Order ID,Date,Commission,Sale Amount,Status\n" + rows, tmp_path)
    assert export.columns["value"] == "Sale Amount"
    assert export.notes == [
        "'Sale Amount' is compared (55.00), not 'Commission' (5.50); --columns value chooses.",
        "By 'Status', not all orders are paid, but all are compared: 1 Declined.",
    ]


@pytest.mark.reads_shared
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("shopify.csv", "5 rows are 3 orders"),
        ("network_ids.csv", "3 more transaction ids would match"),
        ("ads_utf16.tsv", "Rows of totals are left out: 1."),
        ("ads_nopreamble_total.csv", "Rows of totals are left out: 1."),
        ("paypal.csv", "month/day/year"),
    ],
)
def test_the_exports_of_the_field(name: str, words: str, tmp_path: Path) -> None:
    field = SHARED / "field" / "reconcile"
    etl.run([field / "ours.jsonl"], tmp_path / "out")
    outcome = reconcile(ReconcileRequest(tmp_path / "out", field / name))
    assert any(words in note for note in outcome.notes), outcome.notes
    assert outcome.counts.select("ours", "theirs").row(0) == (3, 3)
    assert outcome.differences.is_empty()


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"", UsageError, "no columns"),
        (b"a,b\n1,2\n", UsageError, "--columns"),
        (b'{"date": 1}\nnonsense\n', InputError, "line 2"),
        (b'{"date": 1}\n[]\n', InputError, "line 2"),
        (b"PAR1 nothing", InputError, "cannot be read"),
        (b"date,order_id\nsometime,1\n", UsageError, "--time-format"),
        (b"\x1f\x8b nothing", InputError, "cannot be read"),
    ],
)
def test_an_export_that_cannot_be_used(
    content: bytes, error: type[Exception], words: str, tables: Path, tmp_path: Path
) -> None:
    (tmp_path / "export").write_bytes(content)
    with pytest.raises(error, match=words):
        reconcile(ReconcileRequest(tables, tmp_path / "export"))


# -- the command -------------------------------------------------------------------------------------------------


def test_the_command_shows_the_guessed_columns_and_fits_eighty(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes(separated(","))
    text = run("reconcile", tables, tmp_path / "export", env={**os.environ, "COLUMNS": "80"}).stdout.decode()
    assert "transaction_id=Order ID, click_id=Sub1, value=Sale Amount" in text
    assert "rejected: unknown_conversion_type" in text
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert run("reconcile", tables, "--against", tmp_path / "export", "-q").stdout == b""


def test_the_command_as_json_and_parquet(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes(separated(","))
    arguments = ("--against", tmp_path / "export", "--json", "--unmatched", tmp_path / "rows.parquet")
    outcome = json.loads(run("reconcile", tables, *arguments).stdout)
    assert outcome["counts"] == [{"ours": 8, "theirs": 12, "gap": pytest.approx(-1 / 3), "band": "over 5 %"}]
    rows = pl.read_parquet(tmp_path / "rows.parquet")
    assert rows.height == len(outcome["differences"])
    assert outcome["differences"][0]["their_value"] == "10"


def test_a_larger_gap_than_allowed_is_exit_3(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "export").write_text("order_id,value,date\nT2,20,2024-05-01\n", encoding="utf-8")
    arguments = ("reconcile", tables, "--against", tmp_path / "export", "-q", "--max-gap")
    finished = run(*arguments, "99%", code=3)
    assert b"--max-gap 99%" in finished.stderr
    run(*arguments, "2000%")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--against", "nothing.csv"], 1, "nothing.csv"),
        ([], 2, "EXPORT"),
        (["{export}", "--against", "{export}"], 2, "EXPORT"),
        (["--against", "{export}", "--columns", "time"], 2, "--columns"),
        (["--against", "{export}", "--columns", "time=Day"], 2, "Order ID"),
        (["--against", "{export}", "--timezone", "Mars"], 2, "Europe/Berlin"),
        (["--against", "{export}", "--their-timezone", "Mars"], 2, "Europe/Berlin"),
        (["--against", "{export}", "--max-gap", "2"], 2, "2%"),
        (["--against", "{export}", "--value-tolerance", "-1"], 2, "0.01"),
        (["--against", "{export}", "--time-tolerance", "soon"], 2, "90s"),
        (["--against", "{export}", "--currency", "EURO"], 2, "three letters"),
        (["--against", "{export}", "--unmatched", "missing/rows.parquet"], 1, "cannot be written"),
    ],
)
def test_a_bad_call_is_two_lines(arguments: list[str], code: int, words: str, tables: Path, tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes(separated(","))
    named = [argument.format(export=tmp_path / "export") for argument in arguments]
    finished = run("reconcile", tables, *named, code=code)
    lines = finished.stderr.decode().splitlines()
    assert len(lines) == 2, lines
    assert lines[0].startswith("error: ")
    assert words in finished.stderr.decode()
    assert finished.stdout == b""


def test_every_cause_has_a_meaning_and_occurs_here() -> None:
    occurring = {cause.partition(":")[0] for _, cause in THEIRS} | {"only ours", "counted twice by us"}
    assert {cause.name.partition(":")[0] for cause in CAUSES} == occurring - {"agrees"}
