"""The audit's page in a real browser: its numbers, what a hostile payload can do, what it loads."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest

from etl.errors import UsageError
from etl.reports.audit.formatting import cell
from etl.reports.audit.html_page import check_library, render_page, write_page
from etl.reports.audit.page_tables import inputs_table, provenance, stakes_table
from etl.reports.audit.report import Report, make_report
from tests import planted

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


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
    few, whole = (cell(name, value, most) for most in (2, 100))
    return few if few == whole else few + whole


def browse(page: Path, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


@needs_chromium
def test_the_browser_shows_the_numbers_of_the_tables_and_nothing_hostile_runs(
    report: Report, page: Path, tmp_path: Path
) -> None:
    finished = browse(page, tmp_path, "--dump-dom", "--window-size=1200,900")
    assert "CONSOLE" not in finished.stderr
    shown = Reader(finished.stdout)
    assert shown.title == "Attribution audit: tables"
    assert {"img", "iframe", "link", "object"} & set(shown.elements) == set()
    assert shown.elements.count("script") == 1
    for section in report.sections:
        for sheet in section.sheets:
            rows = shown.tables.get(f"{section.answer.key}-{sheet.key}", [[]])[1:]
            if sheet.key == "by_integration_and_day":
                continue
            frame = sheet.rows.drop("measure") if sheet.key == "whole" else sheet.rows
            names = [name for place, name in enumerate(frame.columns) if place == 0 or any(frame[name].to_list())]
            cells = [
                [in_page(name, value) for name, value in zip(names, row, strict=True)]
                for row in frame.select(names).iter_rows()
            ]
            assert rows == (cells[-100:] if sheet.key == "by_day" else cells[:100])
    assert any("<script>document.title" in text for row in shown.tables["unknown_types-types"] for text in row)


@needs_chromium
@pytest.mark.parametrize("flags", [("--window-size=390,800", "--blink-settings=preferredColorScheme=0")])
def test_it_is_drawn_on_a_phone_in_the_dark_and_on_paper(flags: tuple[str, ...], page: Path, tmp_path: Path) -> None:
    finished = browse(page, tmp_path / "a", f"--screenshot={tmp_path / 'phone.png'}", *flags)
    assert "CONSOLE" not in finished.stderr
    assert (tmp_path / "phone.png").stat().st_size > 10_000
    browse(page, tmp_path / "b", f"--print-to-pdf={tmp_path / 'paper.pdf'}")
    assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF")


def test_nothing_is_loaded_from_outside(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    attributes = Reader(text).attributes
    assert {name for name, _ in attributes} & {"src", "srcset", "background", "onload", "onerror", "onclick"} == set()
    assert all(value.startswith("#") for name, value in attributes if name in {"href", "xlink:href"})
    assert not re.search(r"url\(|@import", text)
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


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(UsageError, match=r"postback-etl\[report\]"):
        check_library()
