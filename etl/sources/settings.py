"""What a user says about the inputs, checked: the zone of times, columns, and formats of one's own in TOML."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from etl.errors import FormatError, UsageError
from etl.sources.format import Format, Settings
from etl.sources.readers.column_guessing import ROLES
from etl.sources.readers.escapes import ESCAPES
from etl.sources.readers.timestamps import TIMES

_KINDS: Final = {"pattern": "text", "keys": "json"}
_TEXTS: Final = ("what", "link", "pattern", "escape", "time", "moment")
_TRUTHS: Final = ("is_zoned", "is_body_logged")
_LISTS: Final = ("marks", "container", "samples")
_GROUPS: Final = frozenset(("request", "target", "path", "query"))
_ALL_GROUPS: Final = _GROUPS | {"method", "body", "time", "status", "client", "agent"}


def make_settings(timezone: str, columns: Mapping[str, str], formats: str | Path | None) -> Settings:
    """Settings of one run.

    Raises:
        FormatError: The file of formats is not valid.
        UsageError: No such zone, or no such role of a column.

    Examples:
        >>> make_settings("Europe/Berlin", {"payload": "body"}, None).columns
        (('payload', 'body'),)
    """
    check_zone("--log-timezone", timezone)
    unknown = [role for role in columns if role not in ROLES]
    if unknown:
        raise UsageError(f"--columns {unknown[0]!r} is nothing a column can hold.", f"Known: {', '.join(ROLES)}.")
    rows = read_formats(Path(formats)) if formats else ()
    return Settings(timezone=timezone, columns=tuple(columns.items()), formats=rows)


def check_zone(option: str, zone: str) -> None:
    """Refuses what the IANA database does not know as a zone.

    Raises:
        UsageError: There is no such zone.
    """
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(f"{option} {zone!r} is no time zone.", "Give an IANA name: Europe/Berlin.") from error


def read_formats(path: Path) -> tuple[Format, ...]:
    """A user's own formats: tables `[NAME]` with the fields of `Format`.

    Raises:
        FormatError: The file cannot be read, or a row is not valid.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FormatError(f"--formats {str(path)!r} cannot be read: {error.strerror}.", "Check the name.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} is no TOML: {error}", "Correct it there.") from error
    return tuple(_row(path, name, table) for name, table in tables.items())


def _row(path: Path, name: str, table: Any) -> Format:
    where = f"{path}: [{name}]"
    if not isinstance(table, dict) or len(_KINDS.keys() & table.keys()) != 1:
        raise FormatError(f"{where} has to have either a pattern or keys.", "Give one of them.")
    unknown = table.keys() - {*_TEXTS, *_TRUTHS, *_LISTS, "keys"}
    if unknown:
        raise FormatError(f"{where} has an unknown key {min(unknown)!r}.", "Correct its name, or leave it out.")
    kind = next(kind for kind in _KINDS if kind in table)
    values: dict[str, Any] = {key: table[key] for key in (*_TEXTS, *_TRUTHS) if key in table}
    values |= {key: tuple(table[key]) for key in ("marks", "container") if key in table}
    values["samples"] = tuple(str(sample).encode() for sample in table.get("samples", ()))
    if kind == "pattern":
        values["pattern"] = _pattern(where, table["pattern"])
    else:
        values["keys"] = _keys(where, table["keys"])
    for key, known in (("escape", ESCAPES), ("time", TIMES)):
        if key in values and values[key] not in known and not values[key].startswith("layout "):
            raise FormatError(f"{where} has {key} {values[key]!r}.", f"Known: {', '.join(known)}.")
    return Format(**{"what": f"a format of {path.name}", "link": "", **values, "name": name, "family": _KINDS[kind]})


def _pattern(where: str, text: Any) -> bytes:
    try:
        groups = re.compile(text.encode()).groupindex
    except (re.error, AttributeError) as error:
        raise FormatError(f"{where} has a pattern that is no regular expression: {error}", "Correct it.") from error
    if not _GROUPS & groups.keys() or groups.keys() - _ALL_GROUPS:
        raise FormatError(
            f"{where} has a pattern with the groups {', '.join(groups) or 'of no name'}.",
            f"Name request, target, path or query, and of the others only {', '.join(sorted(_ALL_GROUPS - _GROUPS))}.",
        )
    return bytes(text.encode())


def _keys(where: str, table: Any) -> dict[str, tuple[str, ...]]:
    """Role -> paths of keys; a role may have one path or a list of them."""
    if not isinstance(table, dict):
        raise FormatError(f"{where} has keys that are no table.", 'Write [name.keys] with payload = "body".')
    unknown = [role for role in table if role not in ROLES]
    if unknown:
        raise FormatError(f"{where} has keys for {unknown[0]!r}.", f"Known: {', '.join(ROLES)}.")
    return {ROLES[role]: (paths,) if isinstance(paths, str) else tuple(paths) for role, paths in table.items()}
