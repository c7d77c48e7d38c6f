"""Answer 6: several values for one field, and what the other `alias_order` would change (rules 2.2, 2.3)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.reports.audit.measures import KEYS, Measure
from etl.reports.audit.question import Answer, Found, Sheet, Whole, plural
from etl.reports.audit.tables import WHOSE, Frames, counted, with_issues
from etl.rules.parameter_names import meaning_of
from etl.rules.ruleset import Ruleset
from etl.runner.published_tables import read

MEASURES: Final = (
    Measure("other_order", "that the other alias_order can change (at most)", "alias_conflicts", None, has_money=True),
)

#: What `other_order` says of a conflict.
CHANGES, MAY_CHANGE, SAME = "changes", "may change", "stays"


def find_conflicts(frames: Frames) -> Found:
    """conflicts: one row an integration, field, winner and losers, with what the other order would do.

    `days` counts the conversions of which at least one field could change.
    """
    issues = with_issues(frames.conversions, "alias_conflict").rename({"parameter": "field"})
    conflicts = counted(issues, *WHOSE, "field", "detail")
    named = conflicts["detail"].str.extract_groups("^(?s)(?<winner>.*?) over (?<losers>.*)$").struct.unnest()
    conflicts = pl.concat([conflicts, named], how="horizontal")
    verdict = pl.Series(
        "other_order",
        [under_other_order(winner, losers, frames.ruleset) for winner, losers in named.iter_rows()],
        dtype=pl.String,
    )
    conflicts = conflicts.with_columns(verdict).select(
        *WHOSE, "field", "winner", "losers", "other_order", "conversions", "money", "detail"
    )
    changing = conflicts.filter(pl.col("other_order") != SAME).select("field", "detail").unique()
    rows = (
        issues.join(changing.lazy(), on=["field", "detail"], how="semi")
        .group_by("conversion_id", *KEYS)
        .agg(pl.col("value").first())
    )
    counts = (pl.len().cast(pl.Int64).alias("other_order"), pl.col("value").sum().alias("other_order_money"))
    return {"conflicts": conflicts.drop("detail"), "days": read(rows.group_by(KEYS).agg(*counts))}


def under_other_order(winner: str, losers: str, ruleset: Ruleset) -> str:
    """Whether the other alias_order gives another winner: `changes`, `may change` or `stays`.

    Two spellings of one alias stand in the request's order under either. Where the page's list decided, the tables do
    not say which alias stood first in the request. Where the request's order decided, the list is known.

    Examples:
        >>> under_other_order("value", "amount", Ruleset()), under_other_order("click_id", "clickid", Ruleset())
        ('may change', 'stays')
        >>> under_other_order("amount", "value", Ruleset(alias_order="payload"))
        'changes'

    Source: rules 2.2, 2.3.
    """
    meaning = meaning_of(winner, ruleset)
    if meaning.core < 0:
        return SAME
    ranks = [meaning_of(loser, ruleset).core_rank for loser in losers.split(", ")]
    if all(rank == meaning.core_rank for rank in ranks):
        return SAME
    if ruleset.alias_order == "listed":
        return MAY_CHANGE
    return CHANGES if min(ranks) < meaning.core_rank else SAME


def _say(whole: Whole, found: Found) -> list[str]:
    if not whole.counts["alias_conflict"]:
        return ["No conversion was sent two different values for one field."]
    first = found["conflicts"].row(0, named=True)
    certain = int(found["conflicts"].filter(pl.col("other_order") == CHANGES)["conversions"].sum())
    other = f"{certain:,} values would be others" if certain else f"at most {whole.n('other_order')} would differ"
    return [
        (
            f"{plural(whole.counts['alias_conflict'], 'conversion was', 'conversions were')} sent different values for"
            f" one field{whole.worth('alias_conflict')}; under the other alias_order {other}."
        ),
        (
            f"Most often {first['winner']} won over {first['losers']} in {first['integration']}:"
            f" {plural(first['conversions'], 'time')}."
        ),
    ]


ANSWER: Final = Answer(
    key="alias_conflicts",
    title="Alias conflicts",
    question="Where were several values sent for one field, and would the other order of aliases change rows?",
    base="conversions",
    measures=("conversions", "alias_conflict", "other_order"),
    find=find_conflicts,
    sheets=(Sheet("conflicts", "Which parameter won over which"),),
    days_chart=(),
    says=_say,
    unknown=(
        "Tables made by the listed order do not say which alias stood first in the request, so the number of rows that"
        ' differ is an upper bound. A run with alias_order = "payload" in its ruleset counts them.'
    ),
)
