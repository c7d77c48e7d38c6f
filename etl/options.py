"""What a caller may choose about one transform: plain data, the same for the command and the Python API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

Pii = Literal["hash", "keep", "drop"]

PII_MODES: Final[tuple[Pii, ...]] = ("hash", "keep", "drop")


@dataclass(frozen=True)
class Options:
    """Options of `pipeline.transform`.

    Attributes:
        default_currency: The property's default currency, three letters, for conversions that send none.
        account: Account of records whose request has no path (bare payloads).
        integration: Integration of records whose request has no path.
        pii: What becomes of personal values: `hash`, `keep` or `drop` (rules 9.1).
        since: Only requests received at or after this instant.
        until: Only requests received before this instant.
        statuses: Only requests answered with one of these HTTP statuses; empty means all (rules 1.1).
    """

    default_currency: str | None = None
    account: str | None = None
    integration: str | None = None
    pii: Pii = "hash"
    since: datetime | None = None
    until: datetime | None = None
    statuses: tuple[range, ...] = ()
