"""What was written, counted: what the summary adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Self

import polars as pl

#: Values up to here can be summed within Decimal(38, 9) a hundred million times over.
_SUMMABLE: Final = 10**20


@dataclass
class Tally:
    """What was written, counted.

    Attributes:
        rows: By table.
        reasons: Rejections by reason.
        issues: By code.
        unlogged: POST requests without a logged body, by source.
        values: The sum of the conversions' values by currency; "" where there is none.
    """

    rows: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    issues: Counter[str] = field(default_factory=Counter)
    unlogged: Counter[str] = field(default_factory=Counter)
    values: dict[str, Decimal] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: dict[str, pl.DataFrame]) -> Self:
        """The counts of tables."""
        rejections, conversions = tables["rejections"], tables["conversions"]
        unlogged = rejections.filter(pl.col("reason") == "body_not_logged")["source"]
        codes = conversions["issues"].explode(empty_as_null=False).struct.field("code")
        rows = Counter({name: rows.height for name, rows in tables.items()})
        tally = cls(rows, _counted(rejections["reason"]), _counted(codes), _counted(unlogged))
        tally._add_values(_sums(conversions))
        return tally

    def __iadd__(self, other: Tally) -> Self:
        for name in ("rows", "reasons", "issues", "unlogged"):
            getattr(self, name).update(getattr(other, name))
        self._add_values(other.values.items())
        return self

    def _add_values(self, values: Iterable[tuple[str, Decimal]]) -> None:
        for currency, value in values:
            self.values[currency] = self.values.get(currency, Decimal(0)) + value


def _counted(texts: pl.Series) -> Counter[str]:
    return Counter(dict(texts.value_counts().iter_rows()))


def _sums(conversions: pl.DataFrame) -> Iterable[tuple[str, Decimal]]:
    is_small = pl.col("value").abs() < _SUMMABLE
    valued = conversions.drop_nulls("value").select(pl.col("currency").fill_null(""), "value")
    yield from valued.filter(is_small).group_by("currency").agg(pl.col("value").sum()).iter_rows()
    yield from valued.filter(~is_small).iter_rows()
