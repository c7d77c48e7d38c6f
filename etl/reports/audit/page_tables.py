"""Formats frames as the tables of the page, and finds the facts at its head and foot."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import visible
from etl.reports.audit.catalogue import ShownSheet
from etl.reports.audit.charts import draw
from etl.reports.audit.formatting import cell, heading, is_number
from etl.reports.audit.question import ALL_AMOUNTS, amount_lines, money_text, share_text
from etl.reports.audit.report import Report
from etl.reports.audit.tables import AMOUNTS, main_first
from etl.rules.ruleset import RULES_VERSION

#: Widths to draw a chart in, in pixels: on a wide page, and on a phone.
_WIDTHS: Final = {"wide": 960, "narrow": 340}
_MOST_ROWS: Final = 100

#: How many amounts a cell and a key figure show at once; when it is opened, it shows all.
_FEW_AMOUNTS: Final = 6
_TILE_AMOUNTS: Final = 3


class PageColumn(NamedTuple):
    """The heading of a column: its text, whether it is aligned to the right, and what a reader filters by it."""

    text: str
    is_right: bool = False
    filters: str = ""

    @property
    def is_money(self) -> bool:
        """Whether the cells list amounts by currency."""
        return self.is_right and self.filters == "currency"


class PageCell(NamedTuple):
    """A cell: its text, the whole text if that is longer, and the values that a filter looks for, one a line."""

    text: str
    whole: str = ""
    values: str = ""


class PageTable(NamedTuple):
    """A frame as texts.

    Attributes:
        key: The frame's key among those of its answer.
        title: The frame's title.
        columns: The headings.
        rows: Rows of cells.
        left_out: How many rows are left out.
        charts: SVG by the names of `_WIDTHS`; empty if the frame has no chart.
    """

    key: str
    title: str
    columns: list[PageColumn]
    rows: list[list[PageCell]]
    left_out: int = 0
    charts: dict[str, str] = {}  # noqa: RUF012 - a default that nothing changes

    @property
    def height(self) -> int:
        """How many rows the frame has."""
        return len(self.rows) + self.left_out


def sheet_table(sheet: ShownSheet) -> PageTable:
    """Formats a frame and draws its charts; leaves out columns without values, and rows past `_MOST_ROWS`."""
    rows = sheet.rows.drop("measure") if sheet.key == "whole" else sheet.rows
    columns = [name for place, name in enumerate(rows.columns) if place == 0 or any(rows[name].to_list())]
    shown = rows.select(columns).tail(_MOST_ROWS) if sheet.key == "by_day" else rows.select(columns).head(_MOST_ROWS)
    return PageTable(
        sheet.key,
        sheet.title,
        [
            PageColumn(heading(name), is_number(rows.schema[name]), _filters(name, rows.schema[name]))
            for name in columns
        ],
        [[_cell(name, value) for name, value in zip(columns, row, strict=True)] for row in shown.iter_rows()],
        rows.height - shown.height,
        {size: draw(sheet.chart, sheet.rows, width) for size, width in _WIDTHS.items()} if sheet.chart else {},
    )


def _filters(name: str, dtype: pl.DataType) -> str:
    """Finds what a reader filters by a column."""
    return (
        "currency"
        if dtype == AMOUNTS
        else {"account_id": "account", "integration": name, "currency": name}.get(name, "")
    )


def _cell(name: str, value: Any) -> PageCell:
    """Formats a cell; money of many currencies shows the first amounts until it is opened."""
    if isinstance(value, list):
        return money_cell(value)
    text = cell(name, value)
    return PageCell(text, values=text)


def money_cell(money: list[dict[str, Any]], few: int = _FEW_AMOUNTS) -> PageCell:
    """Formats amounts by currency: the first, and all of them where there are more."""
    few_text, whole = (visible(money_text(money, most)) for most in (few, ALL_AMOUNTS))
    currencies = "\n".join(visible(amount["currency"] or "no currency") for amount in money)
    return PageCell(few_text, whole if whole != few_text else "", currencies)


def stakes_table(report: Report) -> PageTable | None:
    """Lists the money at stake by currency, as a column for each finding that has money; None if none has."""
    findings = [section for section in report.findings if section.money]
    columns = [{amount["currency"]: amount for amount in section.money} for section in findings]
    whole = report.at_stake
    rows = [
        [
            PageCell(name := visible(amount["currency"] or "no currency"), values=name),
            *(_amount_cell(column.get(amount["currency"])) for column in ({amount["currency"]: amount}, *columns)),
        ]
        for amount in whole[:_MOST_ROWS]
    ]
    headings = [PageColumn(section.answer.title, is_right=True) for section in findings]
    first = [PageColumn("currency", filters="currency"), PageColumn("all, at most", is_right=True)]
    return PageTable("stakes", "Money at stake", [*first, *headings], rows, len(whole) - len(rows)) if rows else None


def _amount_cell(amount: dict[str, Any] | None) -> PageCell:
    """Formats the money of a currency, one line for each event; empty if there is none."""
    return PageCell("\n".join(map(visible, amount_lines(amount)))) if amount else PageCell("")


def figures(report: Report) -> list[tuple[str, str, str, PageCell]]:
    """Lists the key figures at the head of the page: title, number, its share, and its money."""
    whole = {row["measure"]: row for section in report.sections for row in section.sheets[0].rows.iter_rows(named=True)}
    wanted = (
        ("conversions", "conversions", "postbacks"),
        ("rejections", "rejected", "postbacks"),
        ("by_click_id", "matched by click_id", "conversions"),
        ("lead_by_default", "became Leads", "conversions"),
        ("duplicate_transaction", "duplicates removed", "postbacks"),
        ("never_succeeded", "failed and never succeeded", "postbacks"),
    )
    return [
        (
            title,
            f"{whole[name]['count']:,}",
            share_text(whole[name]["count"], whole[base]["count"]) if base in whole and whole[base]["count"] else "",
            money_cell(main_first(whole[name]["money"] or [], report.currency), _TILE_AMOUNTS),
        )
        for name, title, base in wanted
        if name in whole
    ]


def provenance(report: Report) -> list[tuple[str, str]]:
    """Lists what the page was made of and by: names and texts."""
    manifest = report.manifest
    ruleset = manifest["ruleset"] or {"name": "not known", "digest": ""}
    snapshot, run_options = manifest.get("snapshot"), manifest.get("options")
    not_known = "not in the manifest, which is the same whenever the run is repeated"
    at = "%Y-%m-%d %H:%M:%S"
    facts = (
        ("Version", f"postback-etl {version('postback-etl')}, rules {RULES_VERSION}"),
        ("Tables", report.store),
        ("Exported from", manifest.get("warehouse", "")),
        ("Snapshot", f"{snapshot}, written at {manifest['written_at']}" if snapshot else ""),
        ("Time of the run", "" if snapshot else not_known),
        ("Received", f"{report.first:{at}} to {report.last:{at}} ({report.zone})" if report.first else ""),
        ("Ruleset", f"{ruleset['name']} {ruleset['digest']}"),
        ("Options of the run", "" if run_options is None else _options_text(run_options) or "none"),
        ("Options of the audit", _options_text(report.options)),
    )
    return [(name, text) for name, text in facts if text]


def _options_text(options: dict[str, str]) -> str:
    return " ".join(f"{flag} {value}" for flag, value in options.items())


def inputs_table(report: Report) -> PageTable | None:
    """Lists the inputs with their digests; None if they are not known."""
    inputs = report.manifest["inputs"]
    names = [
        name
        for name in ("path", "digest", "format", "compression", "bytes", "records")
        if any(name in one for one in inputs)
    ]
    rows = [[_cell(name, one.get(name)) for name in names] for one in inputs[:_MOST_ROWS]]
    columns = [PageColumn({"path": "input"}.get(name, name), name in ("bytes", "records")) for name in names]
    return PageTable("inputs", "Inputs", columns, rows, len(inputs) - len(rows)) if rows else None


def unbroken(text: str) -> str:
    """Shows a text in which an amount stays on one line with its currency, and a percent sign with its number."""
    return re.sub(r"(?<=\S) (?=-?[0-9%])", "\u00a0", visible(text))
