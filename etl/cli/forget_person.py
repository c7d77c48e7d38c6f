"""The command `forget-person`: finds the records of a person, and empties what is personal in them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from etl.cli import messages, options, terminal
from etl.errors import plural

_HINT: Final = "Name a file that can be written; stores that were changed before stay changed."


def forget_person(
    stores: Annotated[
        list[str], typer.Argument(metavar="STORE...", help="Warehouses, folders that run wrote, and exports.")
    ],
    person: Annotated[
        list[str],
        typer.Option(
            metavar="VALUE",
            help="An e-mail address, a telephone number or a hash of one; - reads values from standard input, one per "
            "line, so that none stands in the history of the shell; repeatable.",
        ),
    ],
    apply: Annotated[
        bool, typer.Option("--apply", help="Empty what is personal; by default it is only looked for.")
    ] = False,
    proof: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write as JSON what was found and emptied, no value; - is standard output."),
    ] = None,
    events: options.Events = options.EventsMode.TEXT,
    debug: options.Debug = False,
) -> None:
    """Find the records of a person; with --apply empty what is personal in them. Ids, amounts and counts stay."""
    from etl.cli.progress import unshown
    from etl.cli.summary import write_summary
    from etl.privacy.persons import read_person
    from etl.warehouse.forget_person import forget_person as forgotten

    def keep(report: dict[str, Any]) -> None:
        if proof is not None and str(proof) != "-":
            write_summary(report, proof, "--proof", _HINT)

    if proof is not None and apply:
        _refuse_earlier(proof)
    report = forgotten(stores, read_person(list(_values(person))), is_applied=apply, progress=unshown(), keep=keep)
    if str(proof) == "-":
        write_summary(report, Path("-"), "--proof", _HINT)
    else:
        for line in _lines(report):
            terminal.write_line(line)
    messages.say("done", **report)
    _say_what_is_left(report)


def _refuse_earlier(proof: Path) -> None:
    """Checks that a file holds no proof of an earlier command that has changed something.

    Raises:
        UsageError: It does.
    """
    import orjson

    from etl.errors import UsageError

    try:
        earlier = orjson.loads(proof.read_bytes())
        is_earlier = earlier["is_applied"] and bool(earlier["stores"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if is_earlier:
        raise UsageError(f"--proof {str(proof)!r} holds the proof of an earlier command.", "Name another file.")


def _values(texts: Sequence[str]) -> Iterator[str]:
    """Yields the values of a person, those from standard input in the place of `-`."""
    for text in texts:
        if text == "-":
            lines = sys.stdin.buffer.read().decode(errors="replace").splitlines()
            yield from (line for line in lines if line.strip())
        else:
            yield text


def _lines(report: dict[str, Any]) -> Iterator[str]:
    """Yields what was found: for each store its records, by table, column and file, and by input."""
    for store in report["stores"]:
        yield f"{store['store']} ({store['kind']}): {plural(store['records'], 'record')} of the person"
        yield from (f"  {line}" for line in lines_of_tables(store["tables"]))
        if store["names"]:
            yield f"  manifest: {plural(store['names'], 'name of a parameter', 'names of parameters')}"
        for item in store["inputs"]:
            yield f"  from {item['path'] or 'the input ' + item['digest'][:12]}: {plural(item['records'], 'record')}"


def lines_of_tables(tables: dict[str, Any]) -> Iterator[str]:
    """Yields what was emptied in each table: rows, rows by column, and rows by file."""
    for name, table in tables.items():
        columns = ", ".join(f"{column} {rows:,}" for column, rows in table["columns"].items())
        yield f"{name}: {plural(table['rows'], 'row')}: {columns}"
        yield from (f"  {path}: {plural(rows, 'row')}" for path, rows in table["files"].items())


def _say_what_is_left(report: dict[str, Any]) -> None:
    """Says what the command has not done: not applied, old files, the inputs, names of inputs."""
    found = [store for store in report["stores"] if store["tables"] or store["names"]]
    if found and not report["is_applied"]:
        messages.say("hint", "Nothing was changed: --apply empties what is personal in these rows.")
    if report["is_applied"]:
        for store in found:
            if store["kind"] == "warehouse":
                say_what_stays(store["store"])
        if any(store["inputs"] for store in found):
            messages.say(
                "hint",
                "The inputs themselves still name the person. A new run over them brings the values back; in a "
                "warehouse these records stay empty, unless `loads forget` removes their input.",
            )
    for store in report["stores"]:
        if named := store["left"]["source"]:
            names = plural(named, "name of an input names", "names of inputs name")
            messages.warn(f"{store['store']}: {names} the person; nothing changes that.")


def say_what_stays(warehouse: str) -> None:
    """Says that replaced files of a warehouse stay for a week, how they are removed, and when exports change."""
    messages.say(
        "hint",
        "The replaced files stay for readers of earlier versions. Remove them when they are a week old: "
        f"postback-etl vacuum --into {warehouse}",
        "Exports of the warehouse hold the values until the next export into their folders or databases.",
    )
