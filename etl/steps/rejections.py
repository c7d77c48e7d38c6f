"""Builds rejections: records that become no conversion, with reasons, the endpoint's message and a suggestion."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from etl.columnar.factorize import map_distinct
from etl.rules import page
from etl.rules.body_faults import other_kind
from etl.rules.parameter_names import is_within_one_edit
from etl.rules.ruleset import ASCII_LOWER, Ruleset, fold
from etl.rules.vendors.recognition import signatures
from etl.schema import REJECTIONS
from etl.steps.field_resolution import Fields
from etl.steps.nested_identities import find_identity
from etl.steps.unread_postbacks import suggest_reading

_MESSAGES: Final = {reason.code: reason.message for reason in page.REJECTIONS}
#: Reasons why a readable postback is refused; each is a Boolean column of `conversions.judge_postbacks` (rules 5.4).
REFUSAL_REASONS: Final = ("unread_postback", "missing_identity", "unknown_conversion_type")

#: Columns that the rejection of a refused postback shares with conversions.
_SHARED: Final = ("match_type", "match_key", "event", "conversion_type", "value", "currency", "transaction_id")

#: The rejections of a batch in which no record is rejected, or none as a duplicate. Made without an expression: polars
#: starts its threads for the first one, and a process with threads cannot be forked.
_NO_DUPLICATES: Final = REJECTIONS.empty()
_NO_RECORDS: Final = pl.DataFrame(schema={**REJECTIONS.schema, "layout": pl.String})

_IDENTITY_NAMES: Final = frozenset(
    name for field in page.CORE_FIELDS if field.name in {"click_id", "ref_id", "email"} for name in field.accepted
)


def reject_records(faulty: pl.DataFrame, ruleset: Ruleset) -> pl.DataFrame:
    """Builds the rejections of records without readable parameters, such as malformed records and bodies not logged.

    Args:
        faulty: Routed rows of `schema.REQUESTS` whose `fault` is the reason of a rejection.
        ruleset: Gives the collect path for suggestions.

    Returns:
        Rows of `schema.REJECTIONS` with `layout`, `raw` not yet redacted, without ids.
    """
    if not faulty.height:
        return _NO_RECORDS
    message = pl.coalesce("fault_message", pl.col("fault").replace_strict(_MESSAGES, return_dtype=pl.String))
    suggestion = _suggest_readings(faulty, faulty["fault"] == "unread_postback", ruleset)
    return _as_rejections(
        faulty.with_columns(reasons=pl.concat_list("fault"), message=message, suggestion=suggestion), "layout"
    )


def _suggest_readings(requests: pl.DataFrame, is_unread: pl.Series, ruleset: Ruleset) -> pl.Series:
    """Returns, for each request that is marked, what would read it; null for the others."""
    if not is_unread.any():
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(is_unread))
    texts = [
        suggest_reading(raw, is_table_row=layout is not None, ruleset=ruleset) if marked else None
        for raw, layout, marked in zip(requests["raw"], requests["layout"], is_unread, strict=True)
    ]
    return pl.Series(texts, dtype=pl.String)


def reject_postbacks(postbacks: pl.DataFrame, verdicts: pl.DataFrame, fields: Fields, ruleset: Ruleset) -> pl.DataFrame:
    """Builds the rejections of postbacks without identity or with an unknown conversion_type.

    Args:
        postbacks: Rows of `schema.REQUESTS`.
        verdicts: Output of `judge_postbacks` for these postbacks.
        fields: Fields of these postbacks; their near misses give suggestions.
        ruleset: Gives the known conversion types for suggestions.

    Returns:
        Rows of `schema.REJECTIONS` with `layout`, `raw` not yet redacted, without ids.

    Source: rules 3.1, 5.2, 5.4.
    """
    is_refused = verdicts.select(pl.any_horizontal(REFUSAL_REASONS)).to_series()
    if not is_refused.any():
        return _NO_RECORDS
    refused = verdicts.select("row", *REFUSAL_REASONS, *_SHARED).filter(is_refused)
    types = refused["conversion_type"].set(~refused["unknown_conversion_type"], None)
    names = (
        fields.near_misses.filter(pl.col("near_miss").is_in(_IDENTITY_NAMES))
        .group_by("row", maintain_order=True)
        .agg(name=pl.format("{} is not read; {} would be", "name", "near_miss").first())
    )
    bodies = postbacks["fields"].filter(is_refused)
    has_structures = bodies.list.eval(pl.element().struct.field("is_structure").any()).list.first().fill_null(False)
    index = (has_structures & refused["missing_identity"]).arg_true()
    nested = pl.repeat(None, len(bodies), dtype=pl.String, eager=True)
    nested = nested.scatter(index, [find_identity(body, ruleset) for body in bodies.gather(index).to_list()])
    rejected = (
        postbacks.filter(is_refused)
        .with_columns(
            *refused,
            type=map_distinct(types, lambda text: suggest_type(text, ruleset)),
            kind=pl.when(pl.col("body").str.contains(r"^\s*(?:<|--)")).then("body").map_elements(other_kind, pl.String),
            nested=nested,
            preset=name_presets(fields, is_refused, ruleset),
            reading=_suggest_readings(postbacks.filter(is_refused), refused["unread_postback"], ruleset),
        )
        .join(names, on="row", how="left", maintain_order="left")
    )
    instead = pl.coalesce("name", "preset", "nested", "kind")
    return _as_rejections(
        rejected.with_columns(
            reasons=pl.concat_list(
                pl.when(reason).then(pl.lit(reason)) for reason in REFUSAL_REASONS
            ).list.drop_nulls(),
            suggestion=pl.coalesce("reading", pl.when("missing_identity").then(instead), "type", "preset"),
        ).with_columns(message=pl.col("reasons").list.first().replace_strict(_MESSAGES, return_dtype=pl.String)),
        "layout",
    )


def name_presets(fields: Fields, is_refused: pl.Series, ruleset: Ruleset) -> pl.Series:
    """Returns, for each refused postback, the shipped ruleset that would read it; null where none is recognised.

    Source: rules 11.2; `vendors.recognition.recognise` says the same of one record.
    """
    rows = np.flatnonzero(is_refused)
    advice = np.full(len(rows), None, object)
    names = [fold(name) for name in fields.params.names]
    possible = [one for one in signatures() if one.ruleset != ruleset.name and one.names.issubset(names)]
    if len(rows) and possible:
        index = np.flatnonzero(is_refused.to_numpy()[fields.params.rows])
        row, number = np.searchsorted(rows, fields.params.rows[index]), fields.params.numbers[index]
        is_unread = ~fields.meanings["is_recognised"].to_numpy()[number]
        for one in reversed(possible):  # so that the signature with the most names decides
            places = {name: place for place, name in enumerate(one.names)}
            place = np.array([places.get(name, -1) for name in names])[number]
            of_vendor = place >= 0
            is_sent, is_new = np.zeros((len(rows), len(places)), np.bool_), np.zeros(len(rows), np.bool_)
            is_sent[row[of_vendor], place[of_vendor]] = True
            is_new[row[of_vendor & is_unread]] = True
            is_meant = is_sent.all(axis=1)
            advice[is_meant] = None
            advice[is_meant & is_new] = one.advice
    return pl.Series(advice.tolist(), dtype=pl.String)


def reject_duplicates(duplicates: pl.DataFrame) -> pl.DataFrame:
    """Builds the rejections of conversions that are duplicates (rules 6.3).

    Args:
        duplicates: Rows of `schema.CONVERSIONS` with `duplicate_of`, `duplicate_kind` and `raw`.

    Returns:
        Rows of `schema.REJECTIONS`.
    """
    if not duplicates.height:
        return _NO_DUPLICATES
    reason = "duplicate_transaction"
    return _as_rejections(
        duplicates.with_columns(
            reasons=pl.concat_list(pl.lit(reason)),
            message=pl.lit(_MESSAGES[reason]),
            suggestion=pl.lit(None, pl.String),
            rejection_id="conversion_id",
        )
    )


def suggest_type(text: str, ruleset: Ruleset) -> str | None:
    """Suggests the known conversion_type that an unknown one was probably meant to be; None where that is unclear.

    Candidates are the trimmed text, types of the same folded name, and types within one or two edits.

    Examples:
        >>> [suggest_type(t, Ruleset()) for t in ("purchase ", "Purchas", "salle", "refund")]
        ["send 'purchase'", "send 'purchase'", "send 'sale'", None]
    """
    known = [value for value, _ in ruleset.events]
    meant = text.strip(page.WHITE_SPACE).translate(ASCII_LOWER)
    if meant in known:
        return f"send '{meant}'"
    same_fold = [value for value in known if fold(value) == fold(meant)]
    one_edit = [value for value in known if len(value) > 3 and is_within_one_edit(meant, value)]
    two_edits = [value for value in known if len(value) > 4 and _edits(meant, value) == 2]
    for candidates in (same_fold, one_edit, two_edits):
        if candidates:
            return f"send '{candidates[0]}'"
    return None


def _edits(left: str, right: str) -> int:
    """Returns the Levenshtein distance of two texts; 3 for every distance above 2."""
    if abs(len(left) - len(right)) > 2:
        return 3
    previous = list(range(len(right) + 1))
    for row, a in enumerate(left, 1):
        current = [row]
        for column, b in enumerate(right, 1):
            current.append(min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (a != b)))
        previous = current
    return min(previous[-1], 3)


def _as_rejections(rejected: pl.DataFrame, *extra: str) -> pl.DataFrame:
    """Returns rows of `schema.REJECTIONS`, null where a column is missing, and further columns by name."""
    empty = {name: pl.lit(None, dtype) for name, dtype in REJECTIONS.schema.items() if name not in rejected.columns}
    return rejected.with_columns(
        reason=pl.col("reasons").list.first(), **{name: value for name, value in empty.items() if name != "reason"}
    ).select(*(pl.col(name).cast(dtype) for name, dtype in REJECTIONS.schema.items()), *extra)
