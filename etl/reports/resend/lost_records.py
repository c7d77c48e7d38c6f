"""Finds the records of a store that were lost or misread, by the findings that an auditor chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import polars as pl

from etl.errors import UsageError, choices
from etl.reports.audit.measures import MEASURES
from etl.reports.audit.tables import has_issue
from etl.runner.published_tables import Published, read
from etl.schema import CONVERSIONS

_BY_NAME: Final = {measure.name: measure.rows for measure in MEASURES}
_FAILED: Final = pl.col("http_status") >= 400


class LossFinding(NamedTuple):
    """A way in which postbacks are lost or misread, and what corrects them.

    Attributes:
        name: Its name.
        answer: The key of the answer of the audit that reports it.
        what: What was lost, and how it is corrected.
        conversions: The condition on conversions; None: it is found in none.
        rejections: The condition on rejections, likewise.
    """

    name: str
    answer: str
    what: str
    conversions: pl.Expr | None
    rejections: pl.Expr | None


#: One row per finding. A record with several findings counts under the first of them.
LOSSES: Final = (
    LossFinding(
        "lead_trap",
        "lead_trap",
        "A positive value became a Lead because no type was sent: it is sent as `purchase`",
        has_issue("lead_by_default"),
        None,
    ),
    LossFinding(
        "unknown_type",
        "unknown_types",
        "The `conversion_type` is unknown: the known type that was probably meant is sent",
        None,
        _BY_NAME["unknown_type"],
    ),
    LossFinding(
        "near_miss",
        "unread_parameters",
        "A parameter is nearly a known name: its value is sent under that name, where nothing else fills the field",
        _BY_NAME["near_miss_name"],
        _BY_NAME["near_miss_identity"],
    ),
    LossFinding(
        "failed_request",
        "failures",
        "The server answered with 4xx, 5xx or 499: the postback is sent as it was",
        _FAILED,
        _FAILED,
    ),
    LossFinding(
        "unread",
        "funnel",
        "The record holds a postback that nothing read: it is read as the suggestion of its rejection says",
        None,
        pl.col("reason") == "unread_postback",
    ),
    LossFinding(
        "value_repaired",
        "values",
        "The value cannot be read, but its meaning is clear: `value_repaired` is sent",
        pl.col("value_repaired").is_not_null(),
        None,
    ),
    LossFinding(
        "time_repaired",
        "times",
        "The timestamp is not in seconds, but its meaning is clear: `occurred_at_repaired` is sent",
        pl.col("occurred_at_repaired").is_not_null(),
        None,
    ),
)

#: Columns of a lost record that both tables have.
_SHARED: Final = (
    *("account_id", "integration", "received_at", "source", "source_digest", "record_no", "http_status"),
    *("event", "value", "currency", "match_type", "transaction_id"),
)
_KEYS: Final = {"conversions": "conversion_id", "rejections": "rejection_id"}
_HASHES: Final = [name for name in CONVERSIONS.names if name.endswith("_sha256")]
_OWN: Final = {
    "conversions": {
        "reasons": pl.lit([], pl.List(pl.String)),
        "suggestion": pl.lit(None, pl.String),
        "is_test": has_issue("test_order"),
        "is_emptied": pl.col("match_key").is_null(),
        "has_hashes": pl.any_horizontal(pl.col(_HASHES).is_not_null()),
    },
    "rejections": {
        "reasons": pl.col("reasons").list.set_difference(["duplicate_transaction"]),
        "suggestion": pl.col("suggestion"),
        "is_test": pl.lit(value=False),
        "is_emptied": pl.col("raw").is_null(),
        "has_hashes": pl.lit(value=True),
    },
}


def choose_findings(names: Sequence[str]) -> list[LossFinding]:
    """Finds the findings of names; the key of an answer of the audit names all its findings.

    Raises:
        UsageError: There is no such finding, or none was named.
    """
    known = [row.name for row in LOSSES]
    answers = {row.answer for row in LOSSES}
    unknown = [name for name in names if name not in {*known, *answers}]
    if unknown:
        raise UsageError(f"There is no finding {unknown[0]!r}.", choices(unknown[0], known, "The findings"))
    if not names:
        raise UsageError("No finding was chosen.", f"Give --finding, once or more: {', '.join(known)}.")
    return [row for row in LOSSES if row.name in names or row.answer in names]


def find_lost(
    published: Published, chosen: Sequence[LossFinding], account: str | None, integration: str | None
) -> pl.DataFrame:
    """Finds the records with one of the findings.

    Args:
        published: The tables.
        chosen: The findings.
        account: Only this account; a record whose path says none counts as its.
        integration: Only this integration, likewise.

    Returns:
        One row per record, the earliest first: record_id, table, findings (names), suggestion, is_test, `_SHARED`,
        reasons (of a rejection, but not that it is a duplicate), is_emptied (what is personal was emptied), has_hashes.
    """
    limits = [
        pl.col(name).fill_null(wanted) == wanted
        for name, wanted in (("account_id", account), ("integration", integration))
        if wanted is not None
    ]
    parts = []
    for table, key in _KEYS.items():
        found = {row.name: rows for row in chosen if (rows := getattr(row, table)) is not None}
        if not found:
            continue
        names = [pl.when(rows).then(pl.lit(name)) for name, rows in found.items()]
        parts.append(
            getattr(published, table)
            .filter(pl.any_horizontal(found.values()), *limits)
            .select(
                *_SHARED,
                record_id=key,
                table=pl.lit(table),
                findings=pl.concat_list(names).list.drop_nulls(),
                **_OWN[table],
            )
        )
    return read(pl.concat(parts)).sort("received_at", "source_digest", "record_no", nulls_last=True)
