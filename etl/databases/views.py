"""The views that analysts write first. Their SQL is that of any database; amounts of different currencies never add up.

`conversions` of a view counts rows; `value` sums amounts. Amounts of 10^20 and more are in no sum, as in the audit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from etl.schema import INT, MONEY, SUMMABLE, TEXT, Column, Table
from etl.warehouse.table_layout import RECEIVED_DATE


class View(NamedTuple):
    """A view: what one row is and its columns, and the query."""

    table: Table
    query: str

    @property
    def create_statement(self) -> str:
        """The statement that creates the view."""
        return f"create view {self.table.name} as {self.query}"


_LIMIT: Final = f"cast('{SUMMABLE}' as decimal(38, 9))"
_VALUE: Final = f"cast(sum(value) filter (where abs(value) < {_LIMIT}) as decimal(38, 9))"
_DAY: Final = f"cast(c.received_at at time zone 'UTC' as date) as {RECEIVED_DATE.name}"

_KEYS: Final = (
    RECEIVED_DATE,
    Column("account_id", TEXT, "the account"),
    Column("integration", TEXT, "the integration"),
)
_COUNT: Final = Column("conversions", INT, "number of conversions")
_CURRENCY: Final = Column("currency", TEXT, "the currency of value")
_SUM: Final = Column("value", MONEY, "sum of their values")

#: Issues that make a match key junk (rules 3.2), and the column that counts such keys.
_JUNK: Final = {
    "unresolved_macro": Column("macro_key", INT, "match key is a macro that was not replaced"),
    "placeholder_word": Column("placeholder_key", INT, "match key is the placeholder of a manual"),
    "null_word": Column("null_word_key", INT, "match key is a null word"),
    "test_value": Column("test_key", INT, "match key is a test value"),
    "double_encoded": Column("double_encoded_key", INT, "match key is encoded twice"),
}
_KINDS: Final = ("click_id", "ref_id", "email")

VIEWS: Final = (
    View(
        Table(
            "daily_totals",
            "a day, integration, event and currency; a refund of 70 beside a sale of 70 is not 140",
            (
                *_KEYS,
                Column("event", TEXT, "the event"),
                _CURRENCY,
                _COUNT,
                Column("with_value", INT, "of these, conversions with a value"),
                _SUM,
                Column("too_large", INT, "values of 10^20 and more, which are in no sum"),
            ),
        ),
        f"select {_DAY}, account_id, integration, event, currency, count(*) as conversions, count(value) as with_value,"
        f" {_VALUE} as value, count(*) filter (where abs(value) >= {_LIMIT}) as too_large"
        " from conversions c group by 1, 2, 3, 4, 5",
    ),
    View(
        Table(
            "lead_trap",
            "a day, integration, parameter and currency of positive values that became a Lead because no type was sent",
            (*_KEYS, Column("parameter", TEXT, "the parameter that the value came from"), _CURRENCY, _COUNT, _SUM),
        ),
        f"select {_DAY}, account_id, integration, value_param as parameter, currency, count(*) as conversions,"
        f" {_VALUE} as value from conversions c where exists (select 1 from issues i"
        " where i.conversion_id = c.conversion_id and i.code = 'lead_by_default') group by 1, 2, 3, 4, 5",
    ),
    View(
        Table(
            "match_quality",
            "a day and integration: how its conversions are matched, and match keys that can match nothing",
            (
                *_KEYS,
                _COUNT,
                *(Column(f"by_{kind}", INT, f"conversions that are matched by {kind}") for kind in _KINDS),
                *_JUNK.values(),
            ),
        ),
        f"select {_DAY}, account_id, integration, count(*) as conversions, "
        + ", ".join(f"count(*) filter (where match_type = '{kind}') as by_{kind}" for kind in _KINDS)
        + "".join(f", count(*) filter (where {column.name}) as {column.name}" for column in _JUNK.values())
        + " from conversions c left join (select conversion_id, parameter"
        + "".join(f", bool_or(code = '{code}') as {column.name}" for code, column in _JUNK.items())
        + " from issues group by conversion_id, parameter) j"
        " on j.conversion_id = c.conversion_id and j.parameter = c.match_param group by 1, 2, 3",
    ),
)
