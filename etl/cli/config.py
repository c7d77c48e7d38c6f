"""The command `config`: shows which options count, and where each comes from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from etl.cli import options


def config(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="Show all options of this command.")
    ] = None,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Show the options that are set in the environment or in postback-etl.toml; of a command, all its options.

    The command line comes first, then the environment, then the file, then the default.
    """
    from etl.cli import configuration, terminal
    from etl.errors import UsageError, choices

    root: Any = context.find_root()
    asked = " ".join(command or ())
    commands = configuration.commands_of(root.command)
    if asked and asked not in commands:
        raise UsageError(f"There is no command {asked!r}.", choices(asked, commands, "Known commands"))
    file = configuration.find_file(context.meta.get("config"), root.command)
    rows = [
        {"command": name, "option": option, "value": value, "from": origin}
        for name in ([asked] if asked else commands)
        for option, value, origin in _rows(root.command, name, file, is_whole=bool(asked))
    ]
    if as_json:
        terminal.write_json({"file": file.path and str(file.path), "options": rows})
        return
    terminal.write_line(f"file: {file.path or f'none; no {configuration.FILE} from here upward'}")
    for variable in configuration.unknown_variables(root.command):
        terminal.write_line(f"unknown: {variable} is no option of any command")
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        groups.setdefault((row["option"], _text(row["value"]), row["from"]), []).append(row["command"])
    facts = [
        (option, f"{value}  ({', '.join([origin] if asked else [origin, *names])})")
        for (option, value, origin), names in groups.items()
    ]
    terminal.print_facts(asked or "options that are set", facts or [("", "none")], {}, 18)


def _rows(group: Any, name: str, file: Any, *, is_whole: bool) -> list[tuple[str, Any, str]]:
    """Lists the options of a command that are set, or all of them: name, value, and where the value comes from."""
    from etl.cli import configuration
    from etl.errors import masked

    settings = configuration.settings_of(group, name, file)
    rows = []
    for option, parser in configuration.options_of(configuration.commands_of(group)[name]).items():
        if option in settings:
            value, origin = settings[option]
            listed = [masked(one) if isinstance(one, str) else one for one in value] if parser.multiple else []
            rows.append((option, listed or (masked(value) if isinstance(value, str) else value), origin))
        elif is_whole:
            default = getattr(parser.default, "value", parser.default)
            rows.append((option, default, "required" if parser.required else "default"))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else "-" if value is None else str(value)
