"""Fields and conversions to findings: what is odd about the fields of each conversion (semantics 3.2 and others)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from etl import junk, spec, traits
from etl.aliases import Fields
from etl.issues import finding, findings

_TRAITS: Final = tuple(field.name for field in spec.EXACT_FIELDS if field.source == "Customer Traits")


def findings_of(conversions: pl.DataFrame, fields: Fields) -> list[pl.DataFrame]:
    """What is odd about the fields of conversions: frames of `issues.FINDINGS`.

    Args:
        conversions: Of `build_conversions`, `match_key` as sent.
        fields: What their parameters fill; findings about other postbacks of the batch are left out later.
    """
    return [
        finding(fields.structures, "not_scalar"),
        finding(
            fields.conflicts.select("row", parameter="field", detail=pl.format("{} over {}", "winner", "losers")),
            "alias_conflict",
        ),
        finding(fields.near_misses.rename({"name": "parameter", "near_miss": "detail"}), "near_miss_name"),
        *_value_findings(conversions, fields),
        *findings(conversions),
    ]


def _value_findings(conversions: pl.DataFrame, fields: Fields) -> list[pl.DataFrame]:
    """Values that are present but plainly junk (semantics 3.2), and traits that are digests already (7.3)."""
    core = list(fields.winners)[: list(fields.winners).index("conversion_type") + 1]
    is_macro = np.append(junk.is_macro(fields.params.values).to_numpy(), False)
    is_digest = np.append(traits.are_prehashed(fields.params.values).to_numpy(), False)
    column = conversions.get_column
    match = column("match_key"), partial(column, "match_param")
    transaction = column("transaction_id"), partial(column, "transaction_param")
    checks: list[tuple[str, pl.Series, Callable[[], pl.Series]]] = [
        *(
            ("unresolved_macro", pl.Series(is_macro[fields.winners[name]]), partial(fields.param, name))
            for name in core
        ),
        *(
            (code, is_junk(texts), param)
            for code, is_junk in (("null_word", junk.is_null_word), ("double_encoded", junk.is_double_encoded))
            for texts, param in (match, transaction)
        ),
        ("test_value", junk.is_test_value(match[0]), match[1]),
        *(
            (
                "prehashed_trait",
                pl.Series(is_digest[fields.winners[name]]),
                partial(_repeated, name, conversions.height),
            )
            for name in _TRAITS
        ),
    ]
    return [
        finding(pl.DataFrame([conversions["row"], param().alias("parameter")]).filter(is_found), code)
        for code, is_found, param in checks
        if is_found.any()
    ]


def _repeated(text: str, height: int) -> pl.Series:
    return pl.Series([text]).new_from_index(0, height)
