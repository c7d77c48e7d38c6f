"""The report as one page: nothing is loaded from outside, and nothing on it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from etl.errors import OutputError, UsageError, visible
from etl.reports.audit.catalogue import Section, Shown
from etl.reports.audit.charts import draw
from etl.reports.audit.formatting import cell, heading, is_number
from etl.reports.audit.question import money_text, share_text
from etl.reports.audit.report import Report

#: Widths of a chart's plot: beside a page's margins, and on a phone.
_WIDTHS: Final = {"wide": 960, "narrow": 340}
_MOST_ROWS: Final = 100


class Table(NamedTuple):
    """A frame as a page shows it: headings and cells as (text, is a number), and how many rows are left out."""

    key: str
    title: str
    headings: list[tuple[str, bool]]
    rows: list[list[tuple[str, bool]]]
    left_out: int
    charts: dict[str, str]
    height: int


def check_library() -> None:
    """Refuses to begin where the libraries of the extra `report` are not installed."""
    try:
        import jinja2  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--html draws with {error.name}, which is not installed.", "Run pip install 'postback-etl[report]'."
        ) from error


def write_page(report: Report, path: Path) -> None:
    """Writes the page whole or not at all.

    Raises:
        OutputError: It cannot be written there.
    """
    text = page_of(report)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.write_text(text, encoding="utf-8")
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise OutputError(f"--html {str(path)!r} cannot be written: {error.strerror}.", "Name another file.") from error


def page_of(report: Report) -> str:
    """The page as HTML. Every value is escaped; pictures are SVG of our own drawing."""
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
        sections=[(section, [_table(sheet) for sheet in _ordered(section)]) for section in report.sections],
        visible=visible,
    )


def _ordered(section: Section) -> list[Shown]:
    """The frames of an answer as a page shows them: what is drawn first, then the numbers, then the days."""
    turns = {"whole": 1, "by_day": 3, "by_integration": 4}
    shown = [sheet for sheet in section.sheets if sheet.key != "by_integration_and_day"]
    return sorted(shown, key=lambda sheet: turns.get(sheet.key, 0 if sheet.chart else 2))


def _table(sheet: Shown) -> Table:
    rows = sheet.rows.drop("measure") if sheet.key == "whole" else sheet.rows
    columns = [name for place, name in enumerate(rows.columns) if place == 0 or any(rows[name].to_list())]
    shown = rows.select(columns).tail(_MOST_ROWS) if sheet.key == "by_day" else rows.select(columns).head(_MOST_ROWS)
    right = {name: is_number(rows.schema[name]) for name in columns}
    return Table(
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
    """The figures at the head of the page: name, number, what it is out of."""
    whole = {row["measure"]: row for section in report.sections for row in section.sheets[0].rows.iter_rows(named=True)}
    wanted = (
        ("conversions", "conversions", "postbacks"),
        ("rejections", "rejected", "postbacks"),
        ("by_click_id", "matched by click_id", "conversions"),
        ("lead_by_default", "became Leads", "conversions"),
        ("duplicate_transaction", "duplicates removed", "postbacks"),
        ("never_succeeded", "failed for good", "postbacks"),
    )
    return [
        (title, f"{whole[name]['count']:,}", _beside(whole[name], whole[base]["count"] if base in whole else 0))
        for name, title, base in wanted
        if name in whole
    ]


def _beside(row: dict[str, Any], of: int) -> str:
    share = share_text(row["count"], of) if of else ""
    money = money_text(row["money"], 1) if row["money"] else ""
    return " · ".join(part for part in (share, money) if part)
