"""Answer 5: counts parameters that are not read, and the fields that near misses would have filled (rules 2.6)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.columnar.factorize import map_distinct
from etl.errors import plural
from etl.reports.audit.question import Answer, Chart, Findings, Sheet, Totals
from etl.reports.audit.tables import INTEGRATION_KEYS, Frames, with_issues
from etl.rules.parameter_names import meaning_of
from etl.rules.ruleset import Ruleset
from etl.runner.published_tables import read

_ITEMS: Final = "items"

#: When a field of a conversion is empty. Other fields are empty if their column, and their column of hashes, is null.
_IS_EMPTY: Final = {
    "email": pl.col("email_sha256").is_null() & (pl.col("match_type") != "email"),
    "currency": pl.col("currency_defaulted"),
    "event_name": pl.col("event_rule") != "event_name",
    "timestamp": (pl.col("occurred_at_rule") == "received") & pl.col("occurred_at_repaired").is_null(),
    "full_name": pl.col("name_rule").is_null(),
    _ITEMS: pl.col("item_count") == 0,
}


def find_unread(frames: Frames) -> Findings:
    """Finds parameters that are not read, and near misses: parameters whose name is nearly a known name.

    Returns:
        `near_misses`: one row per integration and parameter. `names`: one row per parameter, as the run counted it.
    """
    names = pl.DataFrame(
        list((frames.manifest["unrecognised_parameters"] or {}).items()),
        schema={"parameter": pl.String(), "times": pl.Int64()},
        orient="row",
    )
    read_as = map_distinct(names["parameter"], lambda name: meaning_of(name, frames.ruleset).near_miss)
    return {
        "near_misses": _near_misses(frames),
        "names": names.with_columns(read_as=read_as, field=_field(read_as, frames.ruleset)),
    }


def field_of(name: str, ruleset: Ruleset) -> str | None:
    """Finds the field that a parameter fills by its name; None if the name is not read.

    Examples:
        >>> field_of("clickid", Ruleset()), field_of("firstName", Ruleset()), field_of("line_items", Ruleset())
        ('click_id', 'first_name', 'items')
    """
    meaning = meaning_of(name, ruleset)
    if meaning.core >= 0:
        return ruleset.core_fields[meaning.core].name
    if meaning.exact >= 0:
        return ruleset.exact_fields[meaning.exact].name
    return _ITEMS if meaning.container >= 0 else None


def _field(names: pl.Series, ruleset: Ruleset) -> pl.Series:
    """Finds the field that each parameter fills."""
    return map_distinct(names, lambda name: field_of(name, ruleset))


def _near_misses(frames: Frames) -> pl.DataFrame:
    """Counts near misses by integration and parameter, most first.

    Returns:
        account_id, integration, parameter, read_as, field, conversions, would_fill (conversions whose field is empty),
        rejections (postbacks without identity whose suggestion names the parameter).
    """
    keys = (*INTEGRATION_KEYS, "parameter", "read_as")
    near_misses = with_issues(frames.conversions, "near_miss_name").rename({"detail": "read_as"})
    known = [name for field in frames.ruleset.exact_fields + frames.ruleset.core_fields for name in field.accepted]
    known += frames.ruleset.item_containers.accepted
    columns = set(frames.conversions.collect_schema())
    is_empty = pl.coalesce(
        pl.when(pl.col("read_as") == name).then(_emptiness(field, columns))
        for name in dict.fromkeys(known)
        if (field := field_of(name, frames.ruleset)) is not None
    )
    conversions = read(
        near_misses.group_by(keys).agg(
            pl.len().cast(pl.Int64).alias("conversions"), would_fill=is_empty.sum().cast(pl.Int64)
        )
    )
    names = pl.col("suggestion").str.extract_groups("^(?s)(?<parameter>.*) is not read; (?<read_as>.*) would be$")
    rejections = read(
        frames.rejections.filter(pl.col("reason") == "missing_identity")
        .select(*INTEGRATION_KEYS, names.alias("names"))
        .unnest("names")
        .drop_nulls("parameter")
        .group_by(keys)
        .agg(pl.len().cast(pl.Int64).alias("rejections"))
    )
    counts = ("conversions", "would_fill", "rejections")
    both = conversions.join(rejections, on=keys, how="full", coalesce=True, nulls_equal=True)
    return both.select(*keys, _field(both["read_as"], frames.ruleset).alias("field"), pl.col(counts).fill_null(0)).sort(
        pl.col("conversions") + pl.col("rejections"), *keys, descending=[True, *([False] * 4)]
    )


def _emptiness(field: str, columns: set[str]) -> pl.Expr:
    """Whether a field of a conversion is empty."""
    if field in _IS_EMPTY:
        return _IS_EMPTY[field]
    return pl.all_horizontal(pl.col(name).is_null() for name in (field, f"{field}_sha256") if name in columns)


def _summarise(totals: Totals, findings: Findings) -> list[str]:
    names, near = findings["names"], findings["near_misses"]
    sentences = []
    if near.height:
        first = near.row(0, named=True)
        unfilled, rejected = int(near["would_fill"].sum()), int(near["rejections"].sum())
        lost = "; ".join(
            (
                *([f"in {plural(unfilled, 'conversion')} the field that was meant is empty"] if unfilled else []),
                *([f"{plural(rejected, 'postback has', 'postbacks have')} no identity"] if rejected else []),
            )
        )
        names_near = plural(near["parameter"].n_unique(), "parameter is", "parameters are")
        such_as = f"{first['parameter']!r} for {first['read_as']!r}"
        sentences.append(
            f"{names_near} nearly a known name, such as {such_as}{f': {lost}' if lost else ''}.{totals.origin}"
        )
    if names.height:
        first = names.row(0, named=True)
        sentences.append(
            f"{plural(names.height, 'parameter is', 'parameters are')} not read; the most frequent is"
            f" {first['parameter']!r}, sent {plural(first['times'], 'time')}."
        )
    return sentences or ["No parameter is counted that is not read."]


ANSWER: Final = Answer(
    key="unread_parameters",
    title="Unread parameters",
    question="Which parameters are not read, and which of them are nearly a known name?",
    base="postbacks",
    measures=("postbacks", "near_miss_name", "near_miss_identity"),
    find=find_unread,
    sheets=(
        Sheet("near_misses", "Parameters that are nearly a known name"),
        Sheet("names", "By parameter", Chart("bars", ("parameter",), ("times",), "unread parameters by times sent")),
    ),
    days_chart=(),
    summarise=_summarise,
    unknown=(
        "The integration is known for near misses only; all other parameters are counted for the whole run."
        " With --pii drop the tables do not show whether a trait was filled."
    ),
    losses=("near_miss_name", "near_miss_identity"),
    cure="Send the known name, or add yours to [aliases] of a ruleset.",
)
