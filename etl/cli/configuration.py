"""Options that do not stand on the command line: in the environment, and in a file `postback-etl.toml`.

A command reads them once, before its parser fills in the defaults: they become the parser's defaults. So the command
line comes first, then `POSTBACK_ETL_…` of the environment, then the file, then the defaults.

In the file, a key is the name of an option. At the top it counts for each command whose option means the same; in a
table that is named as a command, such as `[run]` or `[loads.list]`, for this command only. Two options mean the same
if their help is the same; the meaning of a name is that of the first command that has it.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

from typer.core import TyperGroup, TyperOption

from etl.cli import messages
from etl.errors import UsageError, choices, nearest

FILE: Final = "postback-etl.toml"
CONFIG_HELP: Final = f"Options as TOML, instead of the nearest {FILE}."
_PREFIX: Final = "POSTBACK_ETL_"
_FILE_VARIABLE: Final = f"{_PREFIX}CONFIG"

#: What a person types each time: what cannot be undone, and whom it is about.
_TYPED_ONLY: Final = ("config", "apply", "person")

#: The words for places of files in the help of options.
_PLACES: Final = {"FILE", "DIR", "WAREHOUSE"}
_HEADER: Final = re.compile(r"\s*\[([^\[\]]+)\]")


class Setting(NamedTuple):
    """The value of an option as the command line would have it, and where it stands."""

    value: Any
    origin: str


class Entry(NamedTuple):
    """The value of a key in the file, and its place: the file and the line."""

    value: Any
    place: str


class OptionsFile(NamedTuple):
    """The file, None if there is none, and its entries by command, empty at the top, and name of the option."""

    path: Path | None
    entries: dict[tuple[str, str], Entry]


class ConfiguredGroup(TyperGroup):
    """The command with all its commands, which also take options from the environment and from the file."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for command in commands_of(self).values():
            command.params.append(
                TyperOption(
                    param_decls=["--config"],
                    metavar="FILE",
                    help=CONFIG_HELP,
                    is_eager=True,
                    expose_value=False,
                    callback=_take_over,
                )
            )
            if all(one.param_type_name == "option" for one in command.params):
                command.no_args_is_help = False  # the file may hold all that the command needs


def commands_of(group: Any, path: str = "") -> dict[str, Any]:
    """Returns the commands of a group by name, those of groups within it as `loads list`."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        is_group = hasattr(command, "commands")
        found |= commands_of(command, f"{path}{name} ") if is_group else {f"{path}{name}": command}
    return found


def options_of(command: Any) -> dict[str, Any]:
    """Returns the options of a command that may stand outside of the command line, by name without dashes."""
    shown = (one for one in command.params if one.param_type_name == "option" and not one.hidden)
    named = {max(one.opts, key=len).lstrip("-"): one for one in shown}
    return {name: option for name, option in named.items() if name not in _TYPED_ONLY}


def shared_names(group: Any, command: Any) -> set[str]:
    """Returns the names of a command's options that count for it also where they are given for all commands."""
    meanings: dict[str, str] = {}
    for one in commands_of(group).values():
        for name, option in options_of(one).items():
            meanings.setdefault(name, option.help)
    return {name for name, option in options_of(command).items() if option.help == meanings[name]}


def settings_of(group: Any, command: str, file: OptionsFile) -> dict[str, Setting]:
    """Returns the options of a command that are set outside of the command line, by name.

    Raises:
        UsageError: A value in the file is none for its option.
    """
    parser = commands_of(group)[command]
    shared = shared_names(group, parser)
    found = {}
    for name, option in options_of(parser).items():
        scopes = (command, "") if name in shared else (command,)
        variables = [variable for scope in scopes if os.environ.get(variable := variable_of(scope, name))]
        entries = [entry for scope in scopes if (entry := file.entries.get((scope, name)))]
        if variables:
            text = os.environ[variables[0]]
            found[name] = Setting([text] if option.multiple else text, variables[0])
        elif entries:
            found[name] = Setting(_typed(option, name, entries[0], file.path or Path()), entries[0].place)
    return found


def variable_of(command: str, name: str) -> str:
    """Returns the environment variable of an option, for one command or for all.

    Examples:
        >>> variable_of("", "default-currency"), variable_of("run", "out")
        ('POSTBACK_ETL_DEFAULT_CURRENCY', 'POSTBACK_ETL_RUN_OUT')
    """
    return _PREFIX + re.sub("[ -]", "_", f"{command} {name}".strip()).upper()


def unknown_variables(group: Any) -> list[str]:
    """Returns the variables of the environment that begin as those of options, and belong to none."""
    commands = commands_of(group).items()
    known = {variable_of(scope, name) for path, one in commands for name in options_of(one) for scope in (path, "")}
    return sorted(name for name in os.environ if name.startswith(_PREFIX) and name not in {*known, _FILE_VARIABLE})


def find_file(given: str | Path | None, group: Any) -> OptionsFile:
    """Reads the file that is given, or that the environment names, or the first from the working directory upward.

    Raises:
        UsageError: It cannot be read, is not TOML, or a key is no option.
    """
    path = given or os.environ.get(_FILE_VARIABLE) or _nearest_file()
    if path is None:
        return OptionsFile(None, {})
    try:
        text = Path(path).read_text(encoding="utf-8")
        entries = dict(_read_entries(str(path), text, group))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"The options of {str(path)!r} cannot be read: {reason}.", "Name a TOML file.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.", "Correct the file at that position.") from error
    return OptionsFile(Path(path), entries)


def _nearest_file() -> str | None:
    try:
        here = Path.cwd()
    except OSError:  # the working directory was removed
        return None
    found = next((path for folder in (here, *here.parents) if os.path.isfile(path := folder / FILE)), None)  # noqa: PTH113 - is_file raises where a folder may not be searched
    return os.path.relpath(found) if found else None


def _read_entries(path: str, text: str, group: Any) -> Iterator[tuple[tuple[str, str], Entry]]:
    """Yields the entries of a file.

    Raises:
        UsageError: A key is no option of its command, or the name of a table is no command.
    """
    commands = commands_of(group)
    tables = {*commands, *(name.partition(" ")[0] for name in commands)}
    everywhere = dict.fromkeys(name for command in commands.values() for name in options_of(command))
    for table, key, value in _flat("", tomllib.loads(text), tables):
        place = f"{path}{_line_of(text, table, key)}"
        name = key.replace("_", "-")
        known = options_of(commands[table]) if table in commands else {} if table else everywhere
        if name in known:
            yield (table, name), Entry(value, place)
        elif table:
            raise UsageError(
                f"{place}: {table} has no option {key!r}.",
                choices(name, known or [one for one in commands if one.startswith(table)], "Known"),
            )
        else:
            raise UsageError(
                f"{place}: {key!r} is neither an option nor a command.",
                f"{nearest(name, [*everywhere, *tables])}`postback-etl COMMAND --help` lists the options of a command.",
            )


def _flat(table: str, entries: dict[str, Any], tables: set[str]) -> Iterator[tuple[str, str, Any]]:
    """Yields the command, the key and the value of each entry; the command is empty at the top."""
    for key, value in entries.items():
        inner = f"{table} {key}".strip()
        if isinstance(value, dict) and inner in tables:
            yield from _flat(inner, value, tables)
        else:
            yield table, key, value


def _line_of(text: str, table: str, key: str) -> str:
    """Returns `, line 3` for the line in which a key of a table stands; empty if it is written otherwise."""
    present = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            present = " ".join(part.strip(" \t\"'") for part in header[1].split("."))
            if f"{table} {key}".strip() == present:
                return f", line {number}"
        elif present == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return f", line {number}"
    return ""


def _typed(option: Any, name: str, entry: Entry, path: Path) -> Any:
    """Returns the value of an entry as the command line would have it; the place of a file is by the folder of `path`.

    Raises:
        UsageError: It is of another kind than the option.
    """
    value = entry.value
    if isinstance(value, bool) or option.is_flag:
        if not (isinstance(value, bool) and option.is_flag):
            raise _wrong_kind(name, entry, "true or false" if option.is_flag else "a text")
        return value
    if isinstance(value, dict) and option.multiple:
        value = [f"{role}={text}" for role, text in value.items()]
    listed = value if isinstance(value, list) and option.multiple else [value]
    if not all(isinstance(one, (str, int, float, date)) for one in listed):
        raise _wrong_kind(name, entry, "a text or a list of texts" if option.multiple else "a text")
    texts = [one.isoformat() if isinstance(one, date) else str(one) for one in listed]
    words = set(re.split(r"\W+", option.metavar or ""))
    if words & _PLACES:
        texts = [_placed(text, path.parent, is_name="NAME" in words) for text in texts]
    return texts if option.multiple else texts[0]


def _wrong_kind(name: str, entry: Entry, wanted: str) -> UsageError:
    return UsageError(f"{entry.place}: {name} = {entry.value!r} is not accepted.", f"Give {wanted}.")


def _placed(text: str, folder: Path, *, is_name: bool) -> str:
    """Returns the place of a file by the folder of the file that names it; addresses and other names stay."""
    if text in ("", "-") or re.match("[a-z0-9+]{2,}:", text) or (is_name and not (folder / text).exists()):
        return text
    return os.path.normpath(folder / Path(text).expanduser())


def _take_over(context: Any, _option: Any, given: str | None) -> None:
    """Makes the options from outside the command line the defaults of the parser."""
    if context.resilient_parsing:
        return
    root = context.find_root()
    context.meta["config"] = given = given or root.params.get("config")
    names = {id(command): name for name, command in commands_of(root.command).items()}
    file = find_file(given, root.command)
    settings = settings_of(root.command, names[id(context.command)], file)
    parsers = options_of(context.command)
    context.default_map = {parsers[name].name: setting.value for name, setting in settings.items()}
    messages.take_over(
        {f"--{name}": setting.origin for name, setting in settings.items()},
        events={str(settings[name].value) for name in ("events", "log-format") if name in settings},
        is_debug=str(settings["debug"].value).lower() in ("true", "1", "yes", "on") if "debug" in settings else False,
    )
