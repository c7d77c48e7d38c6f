"""The tables of codes that normal forms need, as lists in SQL: names of countries and of US states, and their codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

_TABLES: Final = Path(__file__).parents[2] / "etl" / "privacy" / "countries.json"


def code_tables() -> dict[str, str]:
    """Name of a placeholder -> a list."""
    tables = json.loads(_TABLES.read_text(encoding="utf-8"))
    return {
        f"{name}_{what}": f"[{', '.join(_quoted(text) for text in texts)}]"
        for name, codes in (("country", tables["countries"]), ("us_state", tables["us_states"]))
        for what, texts in (("names", codes), ("codes", codes.values()))
    }


def filled(statement: str, texts: dict[str, str]) -> str:
    """A statement with its placeholders filled."""
    for name, text in texts.items():
        statement = statement.replace(f"{{{name}}}", text)
    return statement


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
