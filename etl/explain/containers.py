"""Which parameters the items come from: those without which there would be other items.

The pipeline is asked: its steps are given the record without each of them in turn, all these records at once.
"""

from __future__ import annotations

from itertools import groupby
from typing import Final

import polars as pl

from etl.aliases import meaning_of, resolve_aliases
from etl.items import build_items
from etl.pipeline import Judged
from etl.ruleset import Ruleset

#: With more parameters that could hold items, all of them are taken as read.
_MOST: Final = 200


def item_sources(judged: Judged, ruleset: Ruleset) -> set[int]:
    """The places of the parameters that the items of one postback come from; of equal ones the first.

    Args:
        judged: Its frames.
        ruleset: The rules.

    Source: semantics 8.1.
    """
    names = judged.params.select("name", "value").rows()
    places: dict[tuple[str, str], int] = {}
    for place, (name, value) in enumerate(names):
        if meaning_of(name, ruleset).container >= 0:
            places.setdefault((name, value), place)
    if len(places) > _MOST:
        return set(places.values())
    left_out = [None, *places]
    trials = [
        judged.params.filter(pl.Series([pair != one for pair in names], dtype=pl.Boolean)).with_columns(
            row=pl.lit(row, pl.UInt32)
        )
        for row, one in enumerate(left_out)
    ]
    params = pl.concat(trials)
    rows = pl.DataFrame({"row": pl.Series(range(len(trials)), dtype=pl.UInt32)})
    accepted = rows.with_columns(value=judged.conversions["value"].new_from_index(0, len(trials)))
    items, _ = build_items(params, resolve_aliases(params, len(trials), ruleset), accepted, ruleset)
    found = {row: [item[1:] for item in group] for row, group in groupby(items.rows(), key=lambda item: item[0])}
    return {place for row, place in enumerate(places.values(), 1) if found.get(row) != found.get(0)}
