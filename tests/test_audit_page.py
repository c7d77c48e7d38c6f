"""The audit's page in a real browser: its numbers, what a hostile payload can do, what it loads."""

from __future__ import annotations

import base64
import csv
import io
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest

from etl.errors import UsageError
from etl.reports.audit.catalogue import ANSWERS
from etl.reports.audit.formatting import cell
from etl.reports.audit.html_page import check_library, render_page, write_page
from etl.reports.audit.page_tables import inputs_table, provenance, stakes_table
from etl.reports.audit.question import share_text
from etl.reports.audit.report import Report, make_report
from etl.reports.audit.series_styles import STYLES
from tests import chromium, planted
from tests.chromium import Tab, needs_chromium


@pytest.fixture(scope="module")
def report(planted_tables: Path) -> Report:
    return make_report(planted_tables, None, "UTC")


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("html") / "report.html"
    write_page(report, path)
    return path


class Reader(HTMLParser):
    """What stands in a page: tables by id as rows of texts, elements, attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.title = ""
        self._table, self._is_cell, self._is_title = "", False, False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._is_title = tag == "title" and "body" not in self.elements
        if tag == "table":
            self._table = str(dict(attrs)["id"])
            self.tables[self._table] = []
        elif tag == "tr":
            self.tables[self._table].append([])
        elif tag == "td":
            self._is_cell = True
            self.tables[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self._is_cell = False
        self._is_title = False

    def handle_data(self, data: str) -> None:
        if self._is_cell:
            self.tables[self._table][-1][-1] += data.replace("\u00a0", " ")
        if self._is_title:
            self.title += data


def in_page(name: str, value: object) -> str:
    """The text of a cell: of money in many currencies the first amounts, and then all."""
    few, whole = (cell(name, value, most) for most in (6, 100))
    return few if few == whole else few + whole


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium.tab(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@needs_chromium
def test_the_browser_shows_the_numbers_of_the_tables_and_nothing_hostile_runs(
    report: Report, page: Path, tab: Tab
) -> None:
    tab.open(page)
    assert tab.complaints == []
    shown = Reader(tab.run("document.documentElement.outerHTML"))
    assert shown.title == "Attribution audit: tables"
    assert {"img", "iframe", "link", "object"} & set(shown.elements) == set()
    assert shown.elements.count("script") == 1
    for section in report.sections:
        for sheet in section.sheets:
            rows = shown.tables.get(f"{section.answer.key}-{sheet.key}", [[]])[1:]
            if sheet.key == "by_integration_and_day":
                continue
            frame = sheet.rows.drop("measure") if sheet.key == "whole" else sheet.rows
            shown_rows = frame.tail(100) if sheet.key == "by_day" else frame.head(100)
            names = [name for place, name in enumerate(frame.columns) if place == 0 or any(frame[name].to_list())]
            cells = [
                [in_page(name, value) for name, value in zip(names, row, strict=True)]
                for row in shown_rows.select(names).iter_rows()
            ]
            assert rows == cells
    assert any("<script>document.title" in text for row in shown.tables["unknown_types-types"] for text in row)


@needs_chromium
def test_it_is_drawn_on_a_phone_in_the_dark_and_on_paper(page: Path, tab: Tab) -> None:
    tab.open(page, width=400, scheme="dark")
    assert tab.run("document.documentElement.scrollWidth") == 400
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    paper = tab.call("Page.printToPDF", pageRanges="1")["data"]
    assert base64.b64decode(paper).startswith(b"%PDF")
    assert tab.complaints == []


@needs_chromium
def test_without_scripts_everything_can_be_read(page: Path, tab: Tab) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(page)
    assert tab.run("document.getElementById('filters').hidden")
    assert tab.run("document.querySelectorAll('main button').length") == 0
    assert tab.run("document.body.innerText").count("Cure") > 3
    tab.call("Emulation.setScriptExecutionDisabled", value=False)


_HELPERS: Final = """
    globalThis.rows = id => [...document.querySelectorAll(`#${id} tbody tr:not([hidden])`)].map(
        row => [...row.cells].map(cell => cell.textContent));
    globalThis.choose = (name, value) => {
        const select = document.querySelector(`#filters [name=${name}]`);
        select.value = "=" + value; select.dispatchEvent(new Event("change"));
    };
    globalThis.copied = async id => {
        let text; navigator.clipboard.writeText = async got => { text = got; };
        document.getElementById(id).parentElement.previousElementSibling.querySelector("button").click();
        await null; return text;
    };
"""


@needs_chromium
def test_a_reader_filters_sorts_and_copies(page: Path, tab: Tab) -> None:
    tab.open(page)
    tab.run(_HELPERS)
    key = "funnel-by_integration"
    before = tab.run(f"rows('{key}')")
    column = [row[2] for row in before]
    head = f"document.querySelector('#{key} th:nth-child(3) button')"
    by_number = sorted(column, key=lambda text: int(text.replace(",", "")))
    for turn in (by_number[::-1], by_number, column):
        tab.run(f"{head}.click()")
        assert [row[2] for row in tab.run(f"rows('{key}')")] == turn
    tab.run("choose('integration', 'legacy')")
    assert [row[1] for row in tab.run(f"rows('{key}')")] == ["legacy"]
    assert tab.run(f"document.getElementById('{key}').parentElement.previousElementSibling.textContent").endswith(
        f"1 of {len(before)} rows"
    )
    head, *rows = csv.reader(io.StringIO(tab.run(f"copied('{key}')")))
    assert head[:3] == ["account", "integration", "postbacks"]
    assert [row[:3] for row in rows] == [["acme", "legacy", "666"]]
    assert tab.run("document.getElementById('said').textContent").endswith("1 rows copied as CSV.")
    tab.run("document.getElementById('filters').reset(); new Promise(done => setTimeout(done, 20))")
    assert tab.run(f"rows('{key}').length") == len(before)
    names = tab.run("[...document.querySelectorAll('main button')].map(button => button.textContent).every(Boolean)")
    assert names
    assert tab.complaints == []


@needs_chromium
def test_a_copied_cell_is_no_formula(page: Path, tab: Tab) -> None:
    tab.open(page)
    tab.run(_HELPERS)
    cells = ["=1+1", "+cmd", "-2+3", "@sum", "-12.50", 'a "b", c', "1,234"]
    tab.run(f"document.querySelectorAll('#stakes td').forEach((cell, at) => cell.textContent = {cells}[at] ?? 'x')")
    _, row, *_ = csv.reader(io.StringIO(tab.run("copied('stakes')")))
    expected = ["'=1+1", "'+cmd", "'-2+3", "'@sum", "-12.50", 'a "b", c', "1234"]
    assert row == expected[: len(row)]


def test_nothing_is_loaded_from_outside(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    attributes = Reader(text).attributes
    assert {name for name, _ in attributes} & {"src", "srcset", "background", "onload", "onerror", "onclick"} == set()
    assert all(value.startswith("#") for name, value in attributes if name in {"href", "xlink:href"})
    assert not re.search(r"url\((?!#)|@import", text)
    assert "default-src 'none'" in text
    assert set(re.findall(r'https?://[^"\s<&]+', text)) <= {
        *("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"),
        *(value for value in re.findall(r'https?://[^"\s<&]+', str(planted.AGENTS))),
    }


def test_a_hostile_label_is_text_in_a_picture_too(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert any("&lt;script&gt;document.title" in picture for picture in pictures)
    assert not any("<script" in picture or "onerror=alert(1)>" in picture for picture in pictures)
    assert "\x1b" not in text


def test_the_same_tables_give_the_same_page(report: Report, page: Path) -> None:
    assert page.read_text(encoding="utf-8") == render_page(report)


def test_the_money_at_stake_stands_at_the_head_by_currency(page: Path, sample_tables: Path) -> None:
    assert [row[0] for row in Reader(page.read_text(encoding="utf-8")).tables["stakes"][1:]] == ["EUR"]
    report = make_report(sample_tables, None, "UTC")
    table = stakes_table(report)
    assert table is not None
    assert [row[0].text for row in table.rows] == ["EUR", "USD", "GBP", "PLN", "NOK"]
    findings = [section for section in report.findings if section.money]
    for row in table.rows:
        amounts = [
            sum(Decimal(line.split()[-1].replace(",", "")) for line in cell.text.split("\n")) if cell.text else 0
            for cell in row[1:]
        ]
        known = [{one["currency"]: one["amount"] for one in section.money} for section in findings]
        assert amounts == [sum(amounts[1:]), *(one.get(row[0].text, 0) for one in known)]


def test_the_page_says_how_to_open_an_example_and_to_send_again(report: Report) -> None:
    text = render_page(report, {"lead_trap"})
    assert text.count("Open an example:") == sum(bool(section.examples) for section in report.findings)
    assert re.findall(r"postback-etl resend \S+ --finding (\w+) --out FILE", text) == ["lead_trap"]


def test_the_foot_says_what_the_page_was_made_of(report: Report) -> None:
    found = dict(provenance(report))
    assert found["Ruleset"] == " ".join(report.manifest["ruleset"][name] for name in ("name", "digest"))
    assert (found["Options of the run"], found["Options of the audit"]) == ("none", "--timezone UTC")
    assert "not in the manifest" in found["Time of the run"]
    table = inputs_table(report)
    assert table is not None
    assert [row[1].text for row in table.rows] == [one["digest"] for one in report.manifest["inputs"]]
    stored = {**report.manifest, "snapshot": "20240501T000000Z-1", "written_at": "2024-05-01"}
    assert dict(provenance(report._replace(manifest=stored)))["Snapshot"] == "20240501T000000Z-1, written at 2024-05-01"


def test_a_series_has_one_style_and_no_other_in_its_chart_has_it() -> None:
    same = {"count", "unknown_type", "identical", "conflicting"}  # of another name elsewhere
    styles = [style for name, style in STYLES.items() if name not in same]
    assert len(set(styles)) == len(styles)
    charts = [sheet.chart.series for answer in ANSWERS for sheet in answer.sheets if sheet.chart]
    for series in [*(answer.days_chart for answer in ANSWERS), *charts]:
        parts = list(zip(*(STYLES[name] for name in series if name != "state"), strict=True))
        assert all(len(set(part)) == len(part) for part in parts), series


def test_a_share_is_said_one_way() -> None:
    shares = {0.0: "0 %", 0.0004: "under 0.1 %", 0.001: "0.1 %", 1.0: "100.0 %"}
    assert {share: cell("share", share) for share in shares} == shares
    assert {share: share_text(round(share * 10_000), 10_000) for share in shares} == shares


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(UsageError, match=r"postback-etl\[report\]"):
        check_library()
