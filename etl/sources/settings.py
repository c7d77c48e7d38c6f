"""Checks the user's settings for inputs: the time zone, columns, and the user's own formats in a TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from etl.errors import FormatError, UsageError, choices, nearest
from etl.rules.ruleset import Ruleset, is_collect_path
from etl.rules.vendors import read_own_file
from etl.sources.format import Format, Settings
from etl.sources.readers.column_guessing import ROLES
from etl.sources.readers.escapes import ESCAPES
from etl.sources.readers.timestamps import TIMES

_KINDS: Final = {"pattern": "text", "keys": "json"}
_TEXTS: Final = ("what", "link", "pattern", "escape", "time", "moment")
_FLAGS: Final = ("is_zoned", "is_body_logged")
_LISTS: Final = ("marks", "container", "samples")
#: A name, and the layout of times behind its last colon before the first `%`.
_TIMED: Final = re.compile(r"([^%]+):([^%:]*%.*)")


def _are_texts(value: object) -> bool:
    """Returns whether a value is a list of texts."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


#: The keys of a format, which values they take, and how a message says so.
_ACCEPTED: Final[tuple[tuple[tuple[str, ...], Callable[[object], bool], str], ...]] = (
    (_TEXTS, lambda value: isinstance(value, str), "a text in quotes"),
    (_FLAGS, lambda value: isinstance(value, bool), "true or false"),
    (_LISTS, _are_texts, "a list of texts"),
)
_GROUPS: Final = frozenset(("request", "target", "path", "query"))
_ALL_GROUPS: Final = _GROUPS | {"method", "body", "time", "status", "client", "agent"}


def make_settings(timezone: str, columns: Mapping[str, str], formats: str | Path | None) -> Settings:
    """Builds the settings for reading inputs.

    Args:
        timezone: IANA name of the zone for times without a zone.
        columns: Role -> column name or key path. Behind the name for `received_at`, a colon and a strftime layout may
            stand.
        formats: Path of a TOML file with the user's own formats.

    Raises:
        FormatError: The file of formats cannot be read or is not valid.
        UsageError: The time zone or a column role is unknown.

    Examples:
        >>> make_settings("Europe/Berlin", {"payload": "body"}, None).columns
        (('payload', 'body'),)
        >>> make_settings("UTC", {"received_at": "Time:%b %d, %Y @ %H:%M:%S.%f"}, None).time
        'layout %b %d, %Y @ %H:%M:%S.%f'
    """
    check_zone("--log-timezone", timezone)
    unknown = [role for role in columns if role not in ROLES]
    if unknown:
        raise UsageError(f"--columns {unknown[0]!r} is not a known role.", choices(unknown[0], ROLES, "Known roles"))
    rows = read_formats(Path(formats)) if formats else ()
    found = dict(columns)
    timed = _TIMED.fullmatch(found.get("received_at", ""))
    if timed is None:
        return Settings(timezone=timezone, columns=tuple(found.items()), formats=rows)
    found["received_at"] = timed[1].strip()
    return Settings(timezone, tuple(found.items()), f"layout {timed[2].strip()}", rows)


def with_collect_path(ruleset: Ruleset, collect_path: str | None) -> Ruleset:
    """Returns rules whose collect path is the given one, if any: an option stands before the ruleset (rules 1.1).

    Raises:
        UsageError: The text is no collect path.
    """
    if collect_path is None:
        return ruleset
    if not is_collect_path(collect_path):
        raise UsageError(
            f"--collect-path {collect_path!r} is not a path with a fixed word.",
            "Give one such as /pb/{integration}, without query, and with {account} and {integration} once at most.",
        )
    return replace(ruleset, collect_path=collect_path)


def check_zone(option: str, zone: str) -> None:
    """Checks that the IANA database knows a time zone.

    Args:
        option: The option's name for the message.
        zone: The zone's name.

    Raises:
        UsageError: The zone is unknown.
    """
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        hint = f"{nearest(zone, available_timezones())}Give an IANA name, such as Europe/Berlin."
        raise UsageError(f"{option} {zone!r} is not a known time zone.", hint) from error


def read_formats(path: Path) -> tuple[Format, ...]:
    """Reads the user's own formats from a TOML file: tables `[NAME]` with fields of `Format`.

    Raises:
        FormatError: The file cannot be read, or a format is not valid.
    """
    try:
        tables = tomllib.loads(read_own_file(path))
    except OSError as error:
        raise FormatError(f"--formats {str(path)!r} cannot be read: {error.strerror}.", "Check the name.") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not valid TOML: {error}", "Correct the file.") from error
    return tuple(_row(path, name, table) for name, table in tables.items())


def _row(path: Path, name: str, table: Any) -> Format:
    """Builds a format from its TOML table; raises FormatError if the table is not valid."""
    where = f"{path}: [{name}]"
    if not isinstance(table, dict) or len(_KINDS.keys() & table.keys()) != 1:
        raise FormatError(f"{where} must have either a pattern or keys.", "Give exactly one of the two.")
    keys_of_format = (*_TEXTS, *_FLAGS, *_LISTS, "keys")
    unknown = table.keys() - set(keys_of_format)
    if unknown:
        raise FormatError(
            f"{where} has an unknown key {min(unknown)!r}.", choices(min(unknown), keys_of_format, "Known keys")
        )
    for keys, is_right, accepted in _ACCEPTED:
        for key in keys:
            if key in table and not is_right(table[key]):
                raise FormatError(f"{where} has {key} = {table[key]!r}.", f"Write {accepted}.")
    kind = next(kind for kind in _KINDS if kind in table)
    values: dict[str, Any] = {key: table[key] for key in (*_TEXTS, *_FLAGS) if key in table}
    values |= {key: tuple(table[key]) for key in ("marks", "container") if key in table}
    values["samples"] = tuple(str(sample).encode() for sample in table.get("samples", ()))
    if kind == "pattern":
        values["pattern"] = _pattern(where, table["pattern"])
    else:
        values["keys"] = _keys(where, table["keys"])
    for key, known in (("escape", ESCAPES), ("time", TIMES)):
        if key in values and values[key] not in known and not values[key].startswith("layout "):
            raise FormatError(f"{where} has an unknown {key}: {values[key]!r}.", f"Known: {', '.join(known)}.")
    return Format(**{"what": f"a format of {path.name}", "link": "", **values, "name": name, "family": _KINDS[kind]})


def _pattern(where: str, text: str) -> bytes:
    """Checks the regular expression of a format and its named groups."""
    try:
        groups = re.compile(text.encode()).groupindex
    except (re.error, RecursionError, OverflowError, ValueError) as error:
        raise FormatError(
            f"{where} has a pattern that is not a valid regular expression: {error}", "Correct the pattern."
        ) from error
    if not _GROUPS & groups.keys() or groups.keys() - _ALL_GROUPS:
        raise FormatError(
            f"{where} has a pattern with unsuitable named groups: {', '.join(groups) or 'none'}.",
            "Name a group request, target, path or query. "
            f"Other groups can only be {', '.join(sorted(_ALL_GROUPS - _GROUPS))}.",
        )
    return text.encode()


def _keys(where: str, table: Any) -> dict[str, tuple[str, ...]]:
    """Checks the keys of a format: role -> key paths. In TOML, a role may have one path or a list of paths."""
    if not isinstance(table, dict):
        raise FormatError(f"{where} has keys that are not a table.", 'Write [name.keys] with payload = "body".')
    unknown = [role for role in table if role not in ROLES]
    if unknown:
        raise FormatError(f"{where} has keys for an unknown role: {unknown[0]!r}.", f"Known: {', '.join(ROLES)}.")
    wrong = [role for role, paths in table.items() if not (isinstance(paths, str) or (paths and _are_texts(paths)))]
    if wrong:
        raise FormatError(f"{where} has {wrong[0]} = {table[wrong[0]]!r}.", "Write a name or a list of names.")
    return {ROLES[role]: (paths,) if isinstance(paths, str) else tuple(paths) for role, paths in table.items()}
