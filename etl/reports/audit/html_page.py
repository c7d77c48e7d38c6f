"""Renders a report as one HTML page, which loads nothing from outside; without its one script it can be read, too."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shlex
from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from etl.errors import OutputError, UsageError, visible
from etl.reports.audit.catalogue import ReportSection, ShownSheet
from etl.reports.audit.page_tables import (
    figures,
    inputs_table,
    money_cell,
    provenance,
    sheet_table,
    stakes_table,
    unbroken,
)
from etl.reports.audit.question import ALL_AMOUNTS
from etl.reports.audit.report import Report
from etl.reports.audit.series_styles import draw_patterns

if TYPE_CHECKING:
    from markupsafe import Markup

#: What a sentence says of the currencies that it leaves out.
_AND_MORE: Final = re.compile("and[ \u00a0][0-9,]+ more")


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


def write_page(report: Report, path: Path, resendable: Collection[str] = ()) -> None:
    """Writes a report as a page, by atomic replacement of the file.

    Args:
        report: The report.
        path: The file.
        resendable: Keys of the answers whose records `resend` can send again.

    Raises:
        OutputError: The file cannot be written.
    """
    text = render_page(report, resendable)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.write_text(text, encoding="utf-8")
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise OutputError(f"--html {str(path)!r} cannot be written: {error.strerror}.", "Name another file.") from error


def render_page(report: Report, resendable: Collection[str] = ()) -> str:
    """Renders a report as HTML. Every value is escaped; only what stands in files here or is drawn is not."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("etl.reports.audit", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script, style = (files("etl.reports.audit").joinpath(name).read_text("utf-8") for name in ("page.js", "page.css"))
    return environment.get_template("page.html.j2").render(
        report=report,
        figures=figures(report),
        stakes=stakes_table(report),
        sections=[
            (section, money_cell(section.money, ALL_AMOUNTS), [sheet_table(sheet) for sheet in _order_sheets(section)])
            for section in (*report.findings, *(one for one in report.sections if not one.rank))
        ],
        resendable=resendable,
        store=shlex.quote(report.store),
        provenance=provenance(report),
        inputs=inputs_table(report),
        patterns=draw_patterns(),
        style=style,
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        visible=visible,
        unbroken=unbroken,
        linked=_linked,
    )


def _linked(sentence: str, key: str) -> Markup:
    """Shows a sentence of an answer; what it says of currencies that it leaves out leads to the answer's totals."""
    from markupsafe import Markup, escape

    text = str(escape(unbroken(sentence)))
    return Markup(_AND_MORE.sub(lambda found: f'<a href="#{key}-whole">{found[0]}</a>', text))


def _order_sheets(section: ReportSection) -> list[ShownSheet]:
    """Orders an answer's frames: charts, totals, others, days, integrations; not the frame by integration and day."""
    turns = {"whole": 1, "by_day": 3, "by_integration": 4}
    shown = [sheet for sheet in section.sheets if sheet.key != "by_integration_and_day"]
    return sorted(shown, key=lambda sheet: turns.get(sheet.key, 0 if sheet.chart else 2))
