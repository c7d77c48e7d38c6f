"""Which parameters the items come from: those without which there would be other items.

The pipeline is asked: its steps are given the record without each of them in turn, all these records at once.
"""

from __future__ import annotations

from itertools import groupby
from typing import Final

import numpy as np
import polars as pl

from etl.aliases import resolve_aliases
from etl.conversions import read_amounts
from etl.items import build_items
from etl.meanings import meaning_of
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
    params = judged.fields.params
    pairs = params.frame().select("name", "value").rows()
    places: dict[tuple[str, str], int] = {}
    for place, (name, value) in enumerate(pairs):
        if meaning_of(name, ruleset).container >= 0:
            places.setdefault((name, value), place)
    if len(places) > _MOST:
        return set(places.values())
    kept = [[place for place, pair in enumerate(pairs) if pair != one] for one in (None, *places)]
    rows = np.repeat(np.arange(len(kept)), [len(one) for one in kept])
    trials = params.at(np.array([place for one in kept for place in one], np.int64), rows)
    value = read_amounts(judged.fields, None)["value"]
    accepted = pl.DataFrame({"row": pl.Series(range(len(kept)), dtype=pl.UInt32)}).with_columns(
        value=value.new_from_index(0, len(kept))
    )
    items, _ = build_items(resolve_aliases(trials, len(kept), ruleset), accepted, ruleset)
    found = {row: [item[1:] for item in group] for row, group in groupby(items.rows(), key=lambda item: item[0])}
    return {place for row, place in enumerate(places.values(), 1) if found.get(row) != found.get(0)}
