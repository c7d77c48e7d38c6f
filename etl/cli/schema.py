"""`schema`: the tables' columns, types and meaning, from the one place that defines them."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from etl.schema import Column, Table


class SchemaFormat(enum.StrEnum):
    """How the tables are shown."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


def schema(
    table: Annotated[str | None, typer.Argument(help="One table; all four by default.")] = None,
    as_: Annotated[SchemaFormat, typer.Option("--as", help="How to show it.")] = SchemaFormat.TEXT,
) -> None:
    """Show the tables' columns, their types and what they mean."""
    from etl.errors import UsageError
    from etl.schema import TABLES

    names = [one.name for one in TABLES]
    if table is not None and table not in names:
        raise UsageError(f"There is no table {table!r}.", f"The tables are {', '.join(names)}.")
    chosen = tuple(one for one in TABLES if table in (None, one.name))
    typer.echo(shown(chosen, as_))


def shown(tables: tuple[Table, ...], as_: SchemaFormat) -> str:
    """The tables as text of a kind."""
    return _SHOWN[as_](tables)


def _as_text(tables: tuple[Table, ...]) -> str:
    width = max(len(column.name) for table in tables for column in table.columns)
    types = max(len(type_name(column)) for table in tables for column in table.columns)
    return "\n\n".join(
        "\n".join(
            [
                f"{table.name}: one row is {table.one_row}",
                *(
                    f"  {column.name:<{width}}  {type_name(column):<{types}}  {column.meaning}"
                    for column in table.columns
                ),
            ]
        )
        for table in tables
    )


def _as_markdown(tables: tuple[Table, ...]) -> str:
    return "\n\n".join(
        "\n".join(
            [
                f"### {table.name}: one row is {table.one_row}\n",
                "| column | type | meaning |",
                "|---|---|---|",
                *(f"| {column.name} | {type_name(column)} | {column.meaning} |" for column in table.columns),
            ]
        )
        for table in tables
    )


def _as_json(tables: tuple[Table, ...]) -> str:
    import orjson

    described = {
        table.name: {
            "one_row": table.one_row,
            "columns": [
                {"name": column.name, "type": type_name(column), "meaning": column.meaning} for column in table.columns
            ],
        }
        for table in tables
    }
    return orjson.dumps(described, option=orjson.OPT_INDENT_2).decode()


def type_name(column: Column) -> str:
    """The contract's name of a column's type."""
    return _TYPE_NAMES.get(str(column.dtype), str(column.dtype))


_TYPE_NAMES: Final = {
    "Datetime(time_unit='us', time_zone='UTC')": "Datetime(us, UTC)",
    "Decimal(precision=38, scale=9)": "Decimal(38, 9)",
    "List(Struct({'code': String, 'parameter': String, 'detail': String}))": (
        "List(Struct(code, parameter, detail: String))"
    ),
    "List(String)": "List(String)",
}
_SHOWN: Final = {
    SchemaFormat.TEXT: _as_text,
    SchemaFormat.MARKDOWN: _as_markdown,
    SchemaFormat.JSON: _as_json,
}
