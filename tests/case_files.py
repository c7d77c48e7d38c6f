"""The files of cases: where they lie, and how they write a value."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "cases"


def shown(value: Any) -> Any:
    """A value as the case files write it."""
    if value is None:
        return "<null>"
    if isinstance(value, Decimal):
        return f"{value:f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ").replace(".000000Z", "Z")
    if isinstance(value, dict):
        return {name: shown(part) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [shown(item) for item in value]
    return value
