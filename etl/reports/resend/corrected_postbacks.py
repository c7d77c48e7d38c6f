"""Writes judged postbacks anew, as parameters of the page's names, with the corrections of the findings.

What is sent again is plain: one name per field, amounts with a decimal point, the time in seconds, and a type, so that
nothing is left to be inferred. `as_requests` has such postbacks judged as any other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import polars as pl

from etl.columnar import json_codec
from etl.reports.audit.unread_parameters import field_of
from etl.rules import page
from etl.rules.ruleset import ASCII_LOWER, Ruleset
from etl.rules.value_parsing import FIRST_SECOND, LAST_SECOND
from etl.runner.run import plain_notation
from etl.schema import REQUESTS
from etl.steps.conversions import read_times
from etl.steps.field_resolution import IDENTITY_EMAIL
from etl.steps.items import build_items
from etl.steps.passthroughs import build_passthroughs
from etl.steps.pipeline import Judged
from etl.steps.rejections import suggest_type

#: Parameters of a postback by name, in the order in which they are sent; `items` as JSON text.
Parameters = dict[str, str]

_PURCHASE_TYPE: Final = "purchase"
_EVENTS: Final = dict(page.EVENTS)
_TYPES: Final = {event: kind for kind, event in reversed(page.EVENTS)}
_ITEM_NAMES: Final = {"item_id": "id", "name": "name", "variant": "variant", "price": "price", "quantity": "quantity"}
_TRAITS: Final = ("first_name", "last_name", "full_name", "phone", "birthdate", "city", "state", "zipcode", "country")
_VERDICTS: Final = (
    *("event", "event_rule", "conversion_type", "match_type", "transaction_id", "value", "value_repaired"),
    *("currency", "currency_defaulted", "currency_repaired"),
)
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]+")
#: What stays as it is in a segment of a path, beside letters, digits and `-._~`.
_PATH_MARKS: Final = "%!$&'()*+,;=:@"


def correct(judged: Judged, findings: Sequence[Collection[str]], ruleset: Ruleset) -> Iterator[Parameters]:
    """Writes each postback with the corrections of its findings; values and times whose meaning is clear always.

    Args:
        judged: The postbacks, judged with personal values kept.
        findings: Names of the findings to correct, one collection per postback.
        ruleset: The rules that they were judged by.

    Yields:
        The parameters of each postback. An unknown type without correction stays, and so does the lack of an identity.
    """
    fields, verdicts = judged.fields, judged.verdicts
    times = read_times(fields, judged.postbacks["received_at"], ruleset)
    sent = fields.texts.select("click_id", "ref_id", IDENTITY_EMAIL, "email", "brand_name", *_TRAITS)
    rows = pl.concat([verdicts.select(_VERDICTS), times, sent], how="horizontal")
    items, passthroughs, near_misses = _items(judged, ruleset), _passthroughs(judged), _near_misses(judged)
    for row, (fill, chosen) in enumerate(zip(rows.iter_rows(named=True), findings, strict=True)):
        fill["items"] = items.get(row)
        written = {name: text for name, text in _written(fill, chosen, ruleset) if text}
        written |= {f"{page.PASSTHROUGH_PREFIX}{name}": value for name, value in passthroughs.get(row, ())}
        if "near_miss" in chosen:
            _add_near_misses(written, near_misses.get(row, ()), fill, ruleset)
        yield written


def as_requests(postbacks: Sequence[Parameters], paths: Sequence[str]) -> pl.DataFrame:
    """Returns postbacks as rows of `schema.REQUESTS`, numbered from 1."""
    height = len(postbacks)
    known: dict[str, pl.Expr | pl.Series] = {
        "source_digest": pl.lit("0" * 64),
        "record_no": pl.int_range(1, height + 1, dtype=pl.Int64),
        "http_method": pl.lit("GET"),
        "path": pl.Series(list(paths), dtype=pl.String),
        "query": pl.Series(list(map(query_of, postbacks)), dtype=pl.String),
        "is_body_logged": pl.lit(value=False),
        "raw": pl.lit(""),
    }
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in REQUESTS.schema.items() if name not in known]
    return pl.select(pl.repeat(None, height).alias("none")).select(*missing, **known).select(REQUESTS.names)


def query_of(parameters: Parameters) -> str:
    """Returns parameters as a query, in which every sign that means something to anyone is percent-encoded."""
    return "&".join(f"{_encoded(name)}={_encoded(text)}" for name, text in parameters.items())


def _encoded(text: str) -> str:
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="")


@lru_cache(maxsize=4096)
def path_of(owner: tuple[str | None, ...], ruleset: Ruleset) -> str | None:
    """Returns the collect path of an account and integration; None if one that it needs is not known.

    Examples:
        >>> path_of(("acme", "sh op"), Ruleset()), path_of(("acme", None), Ruleset())
        ('/acme/collect/sh%20op', None)
    """
    path = "/" + ruleset.collect_path.strip("/")
    for placeholder, text in zip(("{account}", "{integration}"), owner, strict=True):
        if placeholder in path and not text:
            return None
        path = path.replace(placeholder, quote(text or "", safe=_PATH_MARKS))
    return path


def _written(fill: dict[str, Any], chosen: Collection[str], ruleset: Ruleset) -> Iterator[tuple[str, str | None]]:
    """Yields the parameters of a postback in their order; None for those that it lacks."""
    is_repaired = fill["value"] is None
    value = fill["value_repaired"] if is_repaired else fill["value"]
    meant = fill["currency_repaired"] if is_repaired else None
    yield "click_id", fill["click_id"]
    yield "ref_id", fill["ref_id"]
    if fill["match_type"] == "email" and fill[IDENTITY_EMAIL] != fill["email"]:
        yield "Email", fill[IDENTITY_EMAIL]  # identifies, but is no trait (rules 2.5)
    yield "email", fill["email"]
    yield _type(fill, value, chosen, ruleset)
    yield "value", None if value is None else plain_notation(value)
    yield "currency", meant or fill["currency"]
    yield "transaction_id", fill["transaction_id"]
    yield "timestamp", _seconds(fill["occurred_at_repaired"] or fill["occurred_at"])
    yield from ((name, fill[name]) for name in ("brand_name", *_TRAITS, "items"))


def _type(fill: dict[str, Any], value: Decimal | None, chosen: Collection[str], ruleset: Ruleset) -> tuple[str, str]:
    """Returns the parameter that says the event, which is corrected if that was chosen."""
    event, kind = fill["event"], fill["conversion_type"] or ""
    if event is None and "unknown_type" in chosen:
        kind = (suggest_type(kind, ruleset) or kind).removeprefix("send ").strip("'")
        event = dict(ruleset.events).get(kind)
    if fill["event_rule"] == "automatic_lead" and "lead_trap" in chosen and value and value > 0:
        event = _EVENTS[_PURCHASE_TYPE]
    if event is not None and (fill["event_rule"] == "event_name" or event not in _TYPES):
        return "event_name", event
    is_known = event is None or _EVENTS.get(kind.translate(ASCII_LOWER)) == event
    return "conversion_type", kind if is_known else _TYPES[event]


def _seconds(at: datetime | None) -> str | None:
    """Returns an instant as the endpoint reads it, in seconds since 1970; None where it reads none (rules 6.2)."""
    if at is None:
        return None
    seconds = Decimal(int(at.replace(microsecond=0).timestamp())) + Decimal(at.microsecond) / 10**6
    return plain_notation(seconds) if FIRST_SECOND <= seconds <= LAST_SECOND else None


def _items(judged: Judged, ruleset: Ruleset) -> dict[int, str]:
    """Returns the items of each postback as JSON text, by row."""
    found: dict[int, list[dict[str, Any]]] = {}
    for item in build_items(judged.fields, judged.verdicts, ruleset)[0].iter_rows(named=True):
        sent = {name: _member(item[column]) for column, name in _ITEM_NAMES.items() if item[column] is not None}
        found.setdefault(item["row"], []).append(sent)
    return {row: json_codec.compact(items) for row, items in found.items()}


def _member(value: str | Decimal) -> Any:
    """Returns a field of an item as a value for JSON: an amount as a number, if a double holds it exactly."""
    if isinstance(value, str):
        return value
    return float(value) if Decimal(repr(float(value))) == value else plain_notation(value)


def _passthroughs(judged: Judged) -> dict[int, list[tuple[str, str]]]:
    """Returns name and value of the passthroughs that the endpoint stores, by row."""
    found: dict[int, list[tuple[str, str]]] = {}
    stored = build_passthroughs(judged.fields, judged.verdicts)[0].filter("stored")
    for row, name, value in stored.select("row", "name", "value").iter_rows():
        found.setdefault(row, []).append((name, value))
    return found


def _near_misses(judged: Judged) -> dict[int, list[tuple[str, str]]]:
    """Returns the known name that a parameter nearly has, and its value, by row, in the order of the request."""
    fields = judged.fields
    names = fields.near_misses.unique(maintain_order=True)
    params = fields.params.frame(fields.is_sent.nonzero()[0]).filter(~pl.col("is_structure"))
    found: dict[int, list[tuple[str, str]]] = {}
    joined = params.with_columns(pl.col("row").cast(names.schema["row"])).join(
        names, on=("row", "name"), maintain_order="left"
    )
    for row, known, value in joined.select("row", "near_miss", "value").iter_rows():
        found.setdefault(row, []).append((known, value))
    return found


def _add_near_misses(
    written: Parameters, near_misses: Sequence[tuple[str, str]], fill: dict[str, Any], ruleset: Ruleset
) -> None:
    """Adds parameters under the known names that they nearly have, where nothing fills the field."""
    for known, value in near_misses:
        field = field_of(known, ruleset)
        name = known if field is None or "[" in known else field
        says_type = name in ("event_name", "conversion_type")
        if says_type and str(fill["event_rule"]).startswith("automatic"):
            written.pop("conversion_type", None)
        written.setdefault(name, value)
