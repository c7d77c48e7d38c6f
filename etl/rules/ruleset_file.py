"""Ruleset files: TOML to `Ruleset` (rules 11).

Top-level keys are the switches; `[aliases]` adds names for a field, `[paths]` says which parameter a place inside a
JSON body is, `[events]` adds conversion types, `[item_aliases]` adds names for an item's field. What a file adds stands
after the page's own names, so it can extend the page and never shadow it.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from etl.errors import RulesetError
from etl.rules import page
from etl.rules.ruleset import ASCII_LOWER, SWITCHES, BodyPath, Ruleset, fold

_WINDOW: Final = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_STEP: Final = re.compile(r"(?:^|\.)([^.\[\]]+)|\[([0-9]{1,6})\]|\[([^\[\]=]+)=([^\[\]]+)\]", re.ASCII)
_WINDOW_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_ruleset(text: str, where: str) -> Ruleset:
    """The ruleset that a TOML file's text describes: the page plus what the file adds.

    Args:
        text: The file's text.
        where: The file's name, for messages and as the name of a ruleset that has none.

    Raises:
        RulesetError: Not TOML, an unknown key, a value that is not accepted, or a name claimed twice.
    """
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesetError(f"{where} is not valid TOML: {error}", "Mend the file at that place.") from None
    return _Reader(where).ruleset(entries)


class _Reader:
    """Reads the entries of one file; it exists so that every message can name the file."""

    def __init__(self, where: str) -> None:
        self.where = where

    def ruleset(self, entries: dict[str, Any]) -> Ruleset:
        tables = ("aliases", "paths", "events", "item_aliases")
        switches = {switch.key: switch.accepted for switch in SWITCHES}
        known = ("name", "collect_path", *switches, "dedup_window", *tables)
        for key in entries:
            if key not in known:
                raise self._error(f"unknown key {key!r}", f"Known keys: {', '.join(known)}.")
        chosen: dict[str, Any] = {
            key: self._choice(key, entries[key], switches[key]) for key in entries if key in switches
        }
        aliases = self._lists("aliases", entries.get("aliases", {}))
        item_aliases = self._lists("item_aliases", entries.get("item_aliases", {}))
        self._check_fields("aliases", aliases, _alias_fields())
        self._check_fields("item_aliases", item_aliases, [field.name for field in page.ITEM_FIELDS])
        ruleset = replace(
            Ruleset(**chosen),
            name=self._text("name", entries.get("name", self.where)),
            collect_path=self._collect_path(entries.get("collect_path", page.COLLECT_PATH)),
            dedup_window=self._window(entries.get("dedup_window", "off")),
            core_fields=_extended(page.CORE_FIELDS, aliases),
            exact_fields=_extended(page.EXACT_FIELDS, aliases),
            item_containers=_extended((page.ITEM_CONTAINERS,), aliases)[0],
            item_fields=_extended(page.ITEM_FIELDS, item_aliases),
            events=(*page.EVENTS, *self._events(entries.get("events", {}))),
            paths=self._paths(entries.get("paths", {})),
        )
        self._check_claims(ruleset)
        self._check_paths(ruleset)
        return ruleset

    def _error(self, problem: str, hint: str) -> RulesetError:
        return RulesetError(f"{self.where}: {problem}", hint)

    def _choice(self, key: str, value: object, accepted: tuple[str, ...]) -> str:
        if value not in accepted:
            raise self._error(f"{key} = {value!r} is not accepted", f"Accepted values: {', '.join(accepted)}.")
        return str(value)

    def _text(self, key: str, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self._error(f"{key} = {value!r} is not accepted", f"Accepted values: {key} is a text.")
        return value

    def _lists(self, key: str, table: object) -> dict[str, list[str]]:
        if not isinstance(table, dict):
            raise self._error(f"{key} = {table!r} is not accepted", f"Accepted values: [{key}] is a table.")
        for name, values in table.items():
            is_list = isinstance(values, list) and all(isinstance(value, str) and value for value in values)
            if not is_list:
                raise self._error(f"{key}.{name} = {values!r} is not accepted", "Accepted values: a list of names.")
        return table

    def _check_fields(self, key: str, table: dict[str, list[str]], fields: list[str]) -> None:
        for name in table:
            if name not in fields:
                raise self._error(f"unknown key {key}.{name}", f"Accepted values: {', '.join(fields)}.")

    def _events(self, table: object) -> list[tuple[str, str]]:
        if not isinstance(table, dict):
            raise self._error(f"events = {table!r} is not accepted", "Accepted values: [events] is a table.")
        known = {value for value, _ in page.EVENTS}
        added: dict[str, str] = {}
        for value, event in table.items():
            lowered = value.translate(ASCII_LOWER)
            if lowered in known or lowered in added:
                raise self._error(
                    f"events.{value} is claimed twice: the page or the file maps it already",
                    "Remove it, or map another value.",
                )
            added[lowered] = self._text(f"events.{value}", event)
        return list(added.items())

    def _paths(self, table: object) -> tuple[BodyPath, ...]:
        if not isinstance(table, dict):
            raise self._error(f"paths = {table!r} is not accepted", "Accepted values: [paths] is a table.")
        paths = []
        for written, parameter in table.items():
            steps = _steps(written)
            if not steps:
                raise self._error(
                    f"paths.{written!r} is no path",
                    'Write it as "customer.email", "codes[0]" or "notes[name=click_id].value", quoted.',
                )
            paths.append(BodyPath(written, self._text(f"paths.{written!r}", parameter), steps))
        return tuple(paths)

    def _check_paths(self, ruleset: Ruleset) -> None:
        """A path fills a parameter that is read, and its own name is not read already."""
        names = [name for field in (*ruleset.core_fields, ruleset.item_containers) for name in field.accepted]
        folded = {fold(name) for name in names}
        exact = {name for field in ruleset.exact_fields for name in field.accepted}
        for path in ruleset.paths:
            if fold(path.parameter) not in folded and path.parameter not in exact:
                raise self._error(
                    f"paths.{path.written!r} = {path.parameter!r}: nothing reads that parameter",
                    f"Accepted values: {', '.join(_alias_fields())}, or one of their other names.",
                )
            if any(fold(name) in folded or name in exact for name in (path.written, path.form_name)):
                raise self._error(
                    f"paths: {path.written!r} is claimed twice: it is a parameter already",
                    f"Remove it from [paths]; it cannot become {path.parameter}.",
                )

    def _collect_path(self, value: object) -> str:
        text = self._text("collect_path", value)
        if text.count("{account}") != 1 or text.count("{integration}") != 1:
            raise self._error(
                f"collect_path = {text!r} is not accepted",
                "Accepted values: a path with {account} and {integration}, each once.",
            )
        return text

    def _window(self, value: object) -> timedelta | None:
        if value == "off":
            return None
        match = _WINDOW.fullmatch(value) if isinstance(value, str) else None
        if not match:
            raise self._error(
                f"dedup_window = {value!r} is not accepted",
                "Accepted values: off, or a duration such as 30d, 12h, 15m, 10s.",
            )
        return timedelta(**{_WINDOW_UNITS[match[2]]: int(match[1])})

    def _check_claims(self, ruleset: Ruleset) -> None:
        containers = ruleset.item_containers
        by_fold = (*ruleset.core_fields, containers)
        self._check_unique("aliases", [(fold(name), field) for field in by_fold for name in field.accepted])
        exact = [(name, field) for field in ruleset.exact_fields for name in field.accepted]
        self._check_unique("aliases", exact)
        core = {fold(name): field for field in by_fold for name in field.accepted}
        for name, field in exact:
            other = core.get(fold(name))
            if other and other.name != field.name:
                raise self._claimed("aliases", name, other.name, field.name)
        self._check_unique(
            "item_aliases", [(fold(name), field) for field in ruleset.item_fields for name in field.accepted]
        )

    def _check_unique(self, key: str, claims: list[tuple[str, page.Field]]) -> None:
        owners: dict[str, str] = {}
        for name, field in claims:
            owner = owners.setdefault(name, field.name)
            if owner != field.name:
                raise self._claimed(key, name, owner, field.name)

    def _claimed(self, key: str, name: str, first: str, second: str) -> RulesetError:
        return self._error(
            f"{key}: {name!r} is claimed twice, by {first} and by {second}",
            f"Remove it from one of {key}.{first} and {key}.{second}.",
        )


def _alias_fields() -> list[str]:
    fields = (*page.CORE_FIELDS, *page.EXACT_FIELDS, page.ITEM_CONTAINERS)
    return list(dict.fromkeys(field.name for field in fields))


def _extended(fields: tuple[page.Field, ...], added: dict[str, list[str]]) -> tuple[page.Field, ...]:
    return tuple(field._replace(accepted=(*field.accepted, *added.get(field.name, ()))) for field in fields)


def _steps(written: str) -> tuple[str | int | tuple[str, str], ...]:
    """The steps of a path; none where it follows no grammar.

    Examples:
        >>> _steps("customer.address.zip"), _steps("codes[0]"), _steps("notes[name=click_id].value")
        (('customer', 'address', 'zip'), ('codes', 0), ('notes', ('name', 'click_id'), 'value'))
        >>> _steps("a..b"), _steps("[0]"), _steps("order[total]")
        ((), (), ())
    """
    found = list(_STEP.finditer(written))
    is_whole = "".join(step[0] for step in found) == written
    if not is_whole or not found or not found[0][1]:
        return ()
    return tuple(step[1] or (int(step[2]) if step[2] else (step[3], step[4])) for step in found)
