"""Renders a report as one HTML page, which loads nothing from outside and runs no script."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from etl.errors import OutputError, UsageError, visible
from etl.reports.audit.catalogue import ReportSection, ShownSheet
from etl.reports.audit.charts import draw
from etl.reports.audit.formatting import cell, heading, is_number
from etl.reports.audit.question import money_text, share_text
from etl.reports.audit.report import Report

#: Widths to draw a chart in, in pixels: on a wide page, and on a phone.
_WIDTHS: Final = {"wide": 960, "narrow": 340}
_MOST_ROWS: Final = 100


class PageTable(NamedTuple):
    """A frame as texts.

    Attributes:
        key: The frame's key among those of its answer.
        title: The frame's title.
        headings: Text and whether the column is aligned to the right.
        rows: Rows of cells, likewise.
        left_out: How many rows are left out.
        charts: SVG by the names of `_WIDTHS`; empty if the frame has no chart.
        height: How many rows the frame has.
    """

    key: str
    title: str
    headings: list[tuple[str, bool]]
    rows: list[list[tuple[str, bool]]]
    left_out: int
    charts: dict[str, str]
    height: int


def check_library() -> None:
    """Checks that the libraries of the extra `report` are installed.

    Raises:
        UsageError: A library is missing.
    """
    try:
        import jinja2  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--html needs {error.name}, which is not installed.", "Run pip install 'postback-etl[report]'."
        ) from error


def write_page(report: Report, path: Path) -> None:
    """Writes a report as a page, by atomic replacement of the file.

    Raises:
        OutputError: The file cannot be written.
    """
    text = render_page(report)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.write_text(text, encoding="utf-8")
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise OutputError(f"--html {str(path)!r} cannot be written: {error.strerror}.", "Name another file.") from error


def render_page(report: Report) -> str:
    """Renders a report as HTML. Every value is escaped; only the SVG of `charts.draw` is inserted as it is."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("etl.reports.audit", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        report=report,
        figures=_figures(report),
        sections=[
            (section, money_text(section.money), [_page_table(sheet) for sheet in _order_sheets(section)])
            for section in (*report.findings, *(one for one in report.sections if not one.rank))
        ],
        visible=visible,
        unbroken=_unbroken,
    )


def _order_sheets(section: ReportSection) -> list[ShownSheet]:
    """Orders an answer's frames: charts, totals, others, days, integrations; not the frame by integration and day."""
    turns = {"whole": 1, "by_day": 3, "by_integration": 4}
    shown = [sheet for sheet in section.sheets if sheet.key != "by_integration_and_day"]
    return sorted(shown, key=lambda sheet: turns.get(sheet.key, 0 if sheet.chart else 2))


def _page_table(sheet: ShownSheet) -> PageTable:
    """Formats a frame and draws its charts; leaves out columns without values, and rows past `_MOST_ROWS`."""
    rows = sheet.rows.drop("measure") if sheet.key == "whole" else sheet.rows
    columns = [name for place, name in enumerate(rows.columns) if place == 0 or any(rows[name].to_list())]
    shown = rows.select(columns).tail(_MOST_ROWS) if sheet.key == "by_day" else rows.select(columns).head(_MOST_ROWS)
    right = {name: is_number(rows.schema[name]) for name in columns}
    return PageTable(
        sheet.key,
        sheet.title,
        [(heading(name), right[name]) for name in columns],
        [
            [(cell(name, value, 2), right[name]) for name, value in zip(columns, row, strict=True)]
            for row in shown.iter_rows()
        ],
        rows.height - shown.height,
        {size: draw(sheet.chart, sheet.rows, width) for size, width in _WIDTHS.items()} if sheet.chart else {},
        rows.height,
    )


def _figures(report: Report) -> list[tuple[str, str, str]]:
    """Lists the key figures at the head of the page: title, number, and its share and money."""
    whole = {row["measure"]: row for section in report.sections for row in section.sheets[0].rows.iter_rows(named=True)}
    wanted = (
        ("conversions", "conversions", "postbacks"),
        ("rejections", "rejected", "postbacks"),
        ("by_click_id", "matched by click_id", "conversions"),
        ("lead_by_default", "became Leads", "conversions"),
        ("duplicate_transaction", "duplicates removed", "postbacks"),
        ("never_succeeded", "never succeeded", "postbacks"),
    )
    return [
        (title, f"{whole[name]['count']:,}", _figure_note(whole[name], whole[base]["count"] if base in whole else 0))
        for name, title, base in wanted
        if name in whole
    ]


def _figure_note(row: dict[str, Any], of: int) -> str:
    """Formats a measure's share of a base count, and its money."""
    share = share_text(row["count"], of) if of else ""
    money = money_text(row["money"], 1) if row["money"] else ""
    return " · ".join(part for part in (share, money) if part)


def _unbroken(text: str) -> str:
    """Shows a text in which an amount stays on one line with its currency, and a percent sign with its number."""
    return re.sub(r"(?<=\S) (?=-?[0-9%])", "\u00a0", visible(text))
