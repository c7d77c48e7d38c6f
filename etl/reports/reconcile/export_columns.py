"""Finds which column of an export holds what, by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from etl.errors import UsageError
from etl.privacy.addresses import ShownText, hide_text
from etl.rules import page
from etl.sources.readers.column_guessing import folded


class Role(NamedTuple):
    """What a column of an export can hold, and names that such columns often have, most likely first."""

    name: str
    names: tuple[str, ...]


def _page_names(name: str) -> tuple[str, ...]:
    """The names that the page accepts for a core field."""
    return next(field.accepted for field in page.CORE_FIELDS if field.name == name)


#: Names of what an order cost, and of what a network pays for it.
_SALES: Final = (
    *("sale_amount", "order_value", "order_total", "order_amount", "conversion_value", "total_price"),
    *("total", "amount", "revenue", "gross"),
)
SHARES: Final = ("commission", "payout", "publisher_commission", "action_earnings", "earnings", "price", "net")

#: The endpoint's own names first, then those of networks, shops and ad platforms.
ROLES: Final = (
    Role(
        "transaction_id",
        (
            *_page_names("transaction_id"),
            *("order_id", "orderid", "order_number", "order_no", "order_reference", "conversion_id", "sale_id"),
            *("action_id", "trans_id", "txn_id", "tid", "advertiser_ref", "invoice_id", "event_id", "order", "id"),
        ),
    ),
    Role(
        "click_id",
        (
            *_page_names("click_id"),
            *("match_key", "subid", "sub_id", "sub_id_1", "sub1", "subid1", "aff_sub", "click_ref", "clickref"),
            *("gclid", "fbclid", "msclkid", "tracking_id", "cid", *_page_names("ref_id")),
        ),
    ),
    Role("value", (*_SALES, *_page_names("value"), *SHARES)),
    Role("currency", (*_page_names("currency"), "currency_code", "order_currency", "payout_currency")),
    Role(
        "time",
        (
            *("conversion_time", "conversion_date", "event_time", "event_date", "transaction_date", "order_date"),
            *("transaction_time", "action_date", "occurred_at", "date_time", "sale_date", "received_at"),
            *_page_names("timestamp"),
        ),
    ),
    Role("clock", ("time", "transaction_time", "order_time", "sale_time", "event_time", "time_of_day")),
    Role("zone", ("timezone", "time_zone", "tz")),
    Role(
        "status",
        ("status", "financial_status", "order_status", "action_status", "commission_status", "payment_status", "state"),
    ),
)


def is_enough(columns: Mapping[str, str]) -> bool:
    """Whether columns of these roles suffice for a comparison."""
    return "time" in columns and bool({"transaction_id", "click_id", "value"} & columns.keys())


def find_columns(names: list[str], chosen: Mapping[str, str], clocks: Sequence[str] = ()) -> dict[str, str]:
    """Finds the column of each role: the chosen column, or else the most likely name that no other role has.

    Args:
        names: Names of the export's columns.
        chosen: Role -> column, for roles that are not guessed.
        clocks: The columns that hold times of day, and no dates.

    Returns:
        Role -> column, for the roles that were found.

    Raises:
        UsageError: A chosen role or column does not exist.

    Examples:
        >>> find_columns(["Order ID", "Sub1", "Sale Amount", "Date", "Time"], {"click_id": "Sub1"}, ["Time"])
        {'transaction_id': 'Order ID', 'click_id': 'Sub1', 'value': 'Sale Amount', 'time': 'Date', 'clock': 'Time'}
    """
    roles = [role.name for role in ROLES]
    for role_name, column in chosen.items():
        if role_name not in roles:
            raise UsageError(f"--columns {role_name!r} is not a role.", f"The roles are {', '.join(roles)}.")
        if column not in names:
            raise UsageError(
                f"--columns names {column!r}, but there is no such column.", f"The columns are {shown_names(names)}."
            )
    return guess_columns(names, chosen, clocks)


def guess_columns(names: list[str], chosen: Mapping[str, str], clocks: Sequence[str] = ()) -> dict[str, str]:
    """Returns the chosen columns, and guesses the others by name; a column of clock times has no other role."""
    by_fold = {folded(name): name for name in reversed(names)}
    found: dict[str, str] = {}
    for role in ROLES:
        taken = (*found.values(), *chosen.values())
        free = {
            fold: name
            for fold, name in by_fold.items()
            if name not in taken and (name in clocks) == (role.name == "clock")
        }
        guess = next((free[name] for name in role.names if name in free), None)
        if (name := chosen.get(role.name, guess)) in names:
            found[role.name] = name
    return found


def shown_names(names: list[str]) -> ShownText:
    """Returns the first names of columns; of a file without a header they may be personal values."""
    return hide_text(", ".join(names[:12]), "hash")
