"""The rules: every citation leads to a ruling, the document is true of the code, and `rules` shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from etl.cli import app
from etl.privacy.personal_names import PERSONAL_NAMES
from etl.reports.explain import wording
from etl.reports.rulebook import code_tables, read_document, read_rulebook
from etl.rules import page, placeholders
from etl.rules.amount_repair import repair_amount
from etl.rules.ruleset import RULES_VERSION, SWITCHES
from etl.rules.rulings import Section, blocks_of, table_names, with_tables
from etl.rules.value_parsing import amount
from etl.schema import CONVERSIONS, TABLES
from etl.steps.issues import ISSUES
from tests.commands import on_terminal, run

ROOT = Path(__file__).parents[1]
BOOK = read_rulebook()
ENTRIES = BOOK.entries

#: The headings of the page, as the document lists them, with their rulings.
HEADINGS = {row[0]: row[2] for block in blocks_of(ENTRIES["0.3"].text, {}) for row in block.rows[1:]}

NUMBER = r"[0-9]{1,2}(?:\.[0-9]{1,2}[a-z]?)?"
CITATION = re.compile(rf"\brules? ({NUMBER}(?:(?:, | and | or | to |–){NUMBER})*)(?![0-9])")

#: Where people read citations: code and its texts, tests, documents, what outputs look like.
READ = [
    path
    for pattern in ("etl/**/*", "tests/**/*", "docs/**/*", "bench/**/*.md", "bench/**/*.py", "*.md")
    for path in ROOT.glob(pattern)
    if path.suffix in {".py", ".md", ".toml", ".txt", ".j2", ".pxd", ".yml", ".yaml"} and path != Path(__file__)
]


def texts() -> Iterator[tuple[Path, str]]:
    for path in READ:
        yield path, path.read_text(encoding="utf-8")


def numbers_in(text: str) -> list[str]:
    return [number for citation in CITATION.findall(text) for number in re.findall(NUMBER, citation)]


def show(*arguments: str) -> str:
    finished = CliRunner().invoke(app, ["rules", *arguments])
    assert finished.exit_code == 0, finished
    return finished.stdout


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_every_number_is_there_once_and_in_order() -> None:
    headings = re.findall(rf"^##+ ({NUMBER})\b", read_document(), re.MULTILINE)
    assert headings == list(ENTRIES)
    places = [(int(section), int(ruling or 0), letter) for section, ruling, letter in map(parts_of, headings)]
    assert places == sorted(set(places))
    assert [section.number for section in BOOK.sections] == [str(number) for number in range(len(BOOK.sections))]
    for section in BOOK.sections:
        assert section.rulings
        for ruling in section.rulings:
            assert ruling.number.startswith(f"{section.number}.")
            assert ruling.section == section.title
            assert ruling.text


def parts_of(number: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"([0-9]+)(?:\.([0-9]+)([a-z]?))?", number)
    assert match
    return match[1], match[2] or "", match[3] or ""


def test_every_citation_leads_to_a_ruling() -> None:
    cited = [(path.name, number) for path, text in texts() for number in numbers_in(text)]
    assert len(cited) > 300
    assert [one for one in cited if one[1] not in ENTRIES] == []


def test_every_case_is_of_a_ruling_or_a_section_of_the_page() -> None:
    cases = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "cases").glob("*.toml"))
    rulings = re.findall(r'^ruling = "(.*)"$', cases, re.MULTILINE)
    assert len(rulings) > 300
    assert {ruling.removeprefix("page: ") for ruling in rulings} <= ENTRIES.keys() | HEADINGS.keys()


def test_a_citation_of_no_ruling_is_caught() -> None:
    assert numbers_in("[Items Array; rules 8.1, 8.9], rule 1.3a, rules 5.1 to 5.3; rules of 3") == [
        *("8.1", "8.9", "1.3a", "5.1", "5.3")
    ]


def test_every_source_in_the_code_leads_to_a_ruling_or_a_heading_of_the_page() -> None:
    worded = (wording.USES, wording.EVENTS, wording.TIMES, wording.NAMES, wording.CURRENCY_FAULTS, wording.ORIGINS)
    fields = (*page.CORE_FIELDS, *page.EXACT_FIELDS, *page.ITEM_FIELDS, page.ITEM_CONTAINERS)
    rows = (*fields, *page.REJECTIONS, *page.SKIPS, *SWITCHES, *(row for part in worded for row in part))
    for row in rows:
        for source in row.source.split("; "):
            assert numbers_in(source) or source.partition(":")[0] in HEADINGS, row
    assert {number for issue in ISSUES for number in issue.source.split(", ")} <= ENTRIES.keys()


def test_what_explain_prints_leads_to_a_ruling() -> None:
    printed = (ROOT / "tests" / "snapshots" / "explain.txt").read_text(encoding="utf-8")
    cited = re.findall(r"^  .* \[([^\[\]]*)\]$", printed, re.MULTILINE)
    assert len(cited) > 200
    for source in {part for sources in cited for part in sources.split("; ")}:
        is_elsewhere = source.startswith(("https://", "ruleset ", "--")) or source.partition(":")[0] in HEADINGS
        assert is_elsewhere or numbers_in(source), source
        assert set(numbers_in(source)) <= ENTRIES.keys()


def test_headings_of_the_page_name_rulings() -> None:
    assert len(HEADINGS) == 11
    assert {number for rulings in HEADINGS.values() for number in rulings.split(", ")} <= ENTRIES.keys()


def test_every_place_has_a_table_and_every_table_a_place() -> None:
    assert sorted(table_names(read_document())) == sorted(code_tables())
    assert "<!-- table" not in with_tables(read_document(), code_tables())


def test_every_code_that_the_document_names_exists() -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", with_tables(read_document(), code_tables())))
    codes = {row.code for row in (*ISSUES, *page.REJECTIONS, *page.SKIPS) if "_" in row.code}
    assert codes <= named
    others = {*code_names(), *(row.key for row in SWITCHES)}
    assert named - codes - others == set()


def code_names() -> set[str]:
    """Names of columns, fields and their aliases, and of the pieces of a ruleset."""
    fields = (*page.CORE_FIELDS, *page.EXACT_FIELDS, *page.ITEM_FIELDS, page.ITEM_CONTAINERS)
    names = {name for field in fields for name in (field.name, *field.accepted)} | {value for value, _ in page.EVENTS}
    names |= {column.name for table in TABLES for column in table.columns}
    names |= {rule for column in CONVERSIONS.columns for rule in column.meaning.replace(",", "").split()}
    names |= {value for row in SWITCHES for value in row.accepted} | {row.name for row in PERSONAL_NAMES}
    return names | {"collect_path", "dedup_window", "minor_units", "body_charset", "customer_email", "request_uri"}


def test_the_macros_of_the_document_are_macros() -> None:
    (first, second, halves) = [
        block.text for block in blocks_of(ENTRIES["3.2"].text, code_tables()) if block.kind == "item"
    ]
    forms = re.findall(r"`([^`]+)`", first + second)
    assert len(forms) == len(placeholders.BRACKETS) + 1  # `{$x}` is `{x}` around `$x`
    assert placeholders.is_macro(pl.Series([*forms, *re.findall(r"`([^`]+)`", halves)])).all()


def test_the_amounts_of_the_document_are_read_as_it_says() -> None:
    numbers, *_ = [block.text for block in blocks_of(ENTRIES["4.1"].text, code_tables()) if block.kind == "paragraph"]
    plain = re.findall(r"`([0-9.e]+)`", numbers)
    assert plain == ["12", "12.50", ".5", "5.", "1e3"]
    assert amount(pl.Series(plain)).null_count() == 0
    items = [block.text for block in blocks_of(ENTRIES["4.1"].text, code_tables()) if block.kind == "item"]
    forms = re.findall(r"`([^`]+)`", " ".join(items))
    assert len(forms) == 21
    assert [form for form in forms if repair_amount(form).value is None] == ["$12 EUR"]


def test_without_a_number_it_lists_every_ruling() -> None:
    listed = show()
    assert re.findall(rf"^ *({NUMBER})\b", listed, re.MULTILINE) == list(ENTRIES)
    for entry in ENTRIES.values():
        assert entry.title in listed


def test_a_ruling_and_a_section_are_shown_whole() -> None:
    shown = show("6.2")
    assert shown.startswith("6.2 When it happened\n\n")
    assert "- `invalid_timestamp`: " in shown
    section = show("6")
    assert section.startswith("6. Time and duplicates\n\n6.1 ")
    assert shown in section
    assert "6.3 Duplicates" in section
    assert "7.1" not in section


@pytest.mark.parametrize("number", [section.number for section in BOOK.sections])
def test_tables_of_the_code_are_shown(number: str) -> None:
    shown = show(number)
    assert "<!--" not in shown
    assert "\x1b" not in shown
    assert isinstance(ENTRIES[number], Section)
    if number == "5":
        assert re.search(r"^`registration`, `complete_registration`, .* +`CompleteRegistration`$", shown, re.MULTILINE)
    if number == "0":
        assert [issue.code for issue in ISSUES if f"`{issue.code}`" not in shown] == []


@pytest.mark.parametrize(("number", "nearest"), [("6.4", "6.3"), ("12", "11"), ("1.3z", "1.3d"), ("rules", "0")])
def test_a_number_that_does_not_exist_is_two_lines_with_the_nearest(number: str, nearest: str) -> None:
    finished = run("rules", number, code=2)
    lines = finished.stderr.decode().splitlines()
    assert (len(lines), finished.stdout) == (2, b"")
    assert repr(number) in lines[0]
    assert f"The nearest is {nearest}, " in lines[1]


@pytest.mark.parametrize("arguments", [[], ["0"], ["2"], ["8"], ["9"]])
def test_a_terminal_sees_the_rules_in_colour_within_its_width(arguments: list[str]) -> None:
    seen = on_terminal("rules", *arguments)
    assert "\x1b[1m" in seen
    assert max(len(line.rstrip()) for line in without_colours(seen).splitlines()) <= 80


def test_a_terminal_and_a_pipe_show_the_same_words() -> None:
    words = [re.sub(r"[`\s-]+", "", without_colours(text)) for text in (on_terminal("rules", "6"), show("6"))]
    assert words[0] == words[1]


def test_the_document_and_the_code_are_of_one_version() -> None:
    text = (ROOT / "etl" / "rules" / "rules.md").read_text(encoding="utf-8")
    assert f"These are rules {RULES_VERSION}." in text
    assert f"rules {RULES_VERSION}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
