"""The document of the rules with the tables that the code's rows make, for the terminal and for `docs/rules.md`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import groupby
from operator import itemgetter
from typing import Final

from etl.privacy.personal_names import CLIENT, PERSONAL_NAMES, STREET
from etl.privacy.trait_hashes import HASHES
from etl.rules import page, placeholders
from etl.rules.amount_repair import SHARED_SIGNS, SIGNS
from etl.rules.ruleset import SWITCHES
from etl.rules.rulings import Rows, Rulebook, parse_rules
from etl.rules.vendors import shipped_names
from etl.schema import CONVERSIONS
from etl.steps.issues import ISSUES


def read_document() -> str:
    """The document in Markdown, with places for the tables."""
    return files("etl.rules").joinpath("rules.md").read_text(encoding="utf-8")


def read_rulebook() -> Rulebook:
    """The document's sections and rulings, with places for the tables."""
    return parse_rules(read_document())


def code_tables() -> dict[str, Rows]:
    """The tables that the document has places for: name -> rows, the header first."""
    match_key, transaction = "match key", "`transaction_id`"
    meanings = {column.name: column.meaning for column in CONVERSIONS.columns}
    return {
        "issues": _rows(("issue", "meaning", "ruling"), ((f"`{row.code}`", row.meaning, row.source) for row in ISSUES)),
        "skips": _reasons(page.SKIPS),
        "rejections": _reasons(page.REJECTIONS),
        "core_fields": _fields(page.CORE_FIELDS),
        "exact_fields": _fields(page.EXACT_FIELDS),
        "item_containers": _fields((page.ITEM_CONTAINERS,)),
        "item_fields": _fields(page.ITEM_FIELDS),
        "events": _rows(("conversion_type", "event"), _types_by_event()),
        "junk_words": _rows(
            ("issue", "looks at", "words"),
            (
                ("`placeholder_word`", f"{match_key}, {transaction}", _placeholder_words()),
                ("`null_word`", f"{match_key}, {transaction}, traits", _codes(placeholders.NULL_WORDS)),
                ("`null_word`", f"{match_key}, {transaction}", _codes(_ID_WORDS)),
                ("`test_value`", match_key, _codes(placeholders.TEST_VALUES)),
            ),
        ),
        "currency_signs": _rows(
            ("sign", "currency", "otherwise"),
            (
                *((f"`{sign}`", f"`{currency}`", "") for sign, currency in SIGNS),
                *(
                    (f"`{row.sign}`", _codes(row.currencies), f"`{row.otherwise}`" if row.otherwise else "none")
                    for row in SHARED_SIGNS
                ),
            ),
        ),
        "personal_names": _rows(("value", "names", "source"), _personal_names()),
        "hashes": _rows(
            ("column", "trait", "content"),
            ((f"`{row.column}`", f"`{row.trait}`", meanings[row.column]) for row in HASHES),
        ),
        "switches": _rows(
            ("key", "values", "ruling"),
            ((f"`{row.key}`", _codes(row.accepted), row.source.rpartition(" ")[2]) for row in SWITCHES),
        ),
        "rulesets": _rows(("ruleset", "content"), ((f"`{name}`", _title(name)) for name in shipped_names())),
    }


def _rows(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Rows:
    return (header, *rows)


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


_ID_WORDS: Final = placeholders.NULL_IDS[len(placeholders.NULL_WORDS) :]


def _placeholder_words() -> str:
    fields = f"{_codes(placeholders.PLACEHOLDER_FIELDS)}, each also with `YOUR_` before or `_HERE` behind, or both"
    return f"{fields}; {_codes(placeholders.PLACEHOLDER_WORDS)}"


def _fields(fields: tuple[page.Field, ...]) -> Rows:
    rows = ((f"`{row.name}`", _codes(row.accepted), row.source.partition(":")[0]) for row in fields)
    return _rows(("field", "accepted names", "heading of the page"), rows)


def _reasons(reasons: tuple[page.Reason, ...]) -> Rows:
    return _rows(("reason", "message"), ((f"`{row.code}`", row.message) for row in reasons))


def _types_by_event() -> Iterator[tuple[str, str]]:
    for event, pairs in groupby(page.EVENTS, key=itemgetter(1)):
        yield _codes(value for value, _ in pairs), f"`{event}`"


def _personal_names() -> Iterator[tuple[str, str, str]]:
    for (trait, source), rows in groupby(PERSONAL_NAMES, key=itemgetter(1, 2)):
        value = trait if trait in (CLIENT, STREET) else f"`{trait}`"
        yield value, _codes(row.name for row in rows), source


def _title(name: str) -> str:
    """The first line of a shipped ruleset's file, which says what it reads."""
    text = files("etl.rules.vendors").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return text.partition("\n")[0].removeprefix("# ").rstrip(".")
