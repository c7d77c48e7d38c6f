"""The command `schema`: shows the tables' columns, types and meanings, from the module that defines them."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from etl.schema import Table


class SchemaFormat(enum.StrEnum):
    """How the tables are shown."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


def schema(
    table: Annotated[str | None, typer.Argument(help="The table to show; all four by default.")] = None,
    as_: Annotated[SchemaFormat, typer.Option("--as", help="Format of the output.")] = SchemaFormat.TEXT,
) -> None:
    """Show the columns of the tables, with their types and meanings."""
    from etl.cli.terminal import write_line
    from etl.errors import UsageError, choices
    from etl.schema import TABLES

    names = [known.name for known in TABLES]
    if table is not None and table not in names:
        raise UsageError(f"There is no table {table!r}.", choices(table, names, "The tables"))
    chosen = tuple(known for known in TABLES if table in (None, known.name))
    for line in render_tables(chosen, as_).split("\n"):
        write_line(line)


def render_tables(tables: tuple[Table, ...], as_: SchemaFormat) -> str:
    """Renders the definitions of tables as text, Markdown or JSON."""
    return _RENDERERS[as_](tables)


def _as_text(tables: tuple[Table, ...]) -> str:
    width = max(len(column.name) for table in tables for column in table.columns)
    types = max(len(column.type_name) for table in tables for column in table.columns)
    return "\n\n".join(
        "\n".join(
            [
                f"{table.name}: one row is {table.one_row}",
                *(
                    f"  {column.name:<{width}}  {column.type_name:<{types}}  {column.meaning}"
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
                *(f"| {column.name} | {column.type_name} | {column.meaning} |" for column in table.columns),
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
                {"name": column.name, "type": column.type_name, "meaning": column.meaning} for column in table.columns
            ],
        }
        for table in tables
    }
    return orjson.dumps(described, option=orjson.OPT_INDENT_2).decode()


_RENDERERS: Final = {
    SchemaFormat.TEXT: _as_text,
    SchemaFormat.MARKDOWN: _as_markdown,
    SchemaFormat.JSON: _as_json,
}
