"""Reads ruleset files in TOML (rules 11).

Top-level keys set the switches, the name, the collect path and the deduplication window. `[aliases]` adds names for
fields, `[paths]` reads values inside a JSON body as parameters, `[events]` adds conversion types, and `[item_aliases]`
adds names for an item's fields. Added names rank after the page's names, so a file extends the page but never
overrides it. `[left_out]` and `[test_order]` name values by which records are skipped, or are tests.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from etl.errors import RulesetError, choices
from etl.rules import page
from etl.rules.body_charsets import codec_of
from etl.rules.body_paths import BodyPath, Condition, steps_of
from etl.rules.ruleset import ASCII_LOWER, SWITCHES, Recognition, Ruleset, fold, is_collect_path

_PARAMETER: Final = re.compile(r"\{[^{}]+\}")
_WINDOW: Final = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_WINDOW_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_ruleset(text: str, where: str) -> Ruleset:
    """Parses a ruleset file: the page's rules and the file's additions.

    Args:
        text: The file's text.
        where: The file's name, for messages and as the default name of the ruleset.

    Raises:
        RulesetError: The text is not TOML, a key is unknown, a value is not accepted, or a name is claimed twice.
    """
    try:
        entries = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise RulesetError(f"{where} is not valid TOML: {error}", "Correct the file at that position.") from None
    return _Reader(where).ruleset(entries)


class _Reader:
    """Reads the entries of one file. The class exists so that every message can name the file."""

    def __init__(self, where: str) -> None:
        self.where = where

    def ruleset(self, entries: dict[str, Any]) -> Ruleset:
        """Returns the ruleset of a parsed file."""
        tables = ("aliases", "paths", "events", "item_aliases", "minor_unit_digits", "left_out", "test_order")
        switches = {switch.key: switch.accepted for switch in SWITCHES}
        known = (
            "name",
            "collect_path",
            *switches,
            "dedup_window",
            "minor_units",
            "body_charset",
            *tables,
            "recognition",
        )
        for key in entries:
            if key not in known:
                raise self._error(f"unknown key {key!r}", choices(str(key), known, "Known keys"))
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
            minor_units=tuple(self._lists("minor", {"units": entries.get("minor_units", [])})["units"]),
            minor_unit_digits=self._digits(entries.get("minor_unit_digits", {})),
            left_out=self._conditions("left_out", entries.get("left_out", {})),
            test_order=self._conditions("test_order", entries.get("test_order", {})),
            body_charset=self._charset(entries.get("body_charset")),
            recognition=self._recognition(entries.get("recognition")),
        )
        self._check_claims(ruleset)
        self._check_paths(ruleset)
        return ruleset

    def _error(self, problem: str, hint: str) -> RulesetError:
        return RulesetError(f"{self.where}: {problem}", hint)

    def _choice(self, key: str, value: object, accepted: tuple[str, ...]) -> str:
        """Returns the value of a switch, if it is accepted."""
        if value not in accepted:
            raise self._error(f"{key} = {value!r} is not accepted", f"Accepted values: {', '.join(accepted)}.")
        return str(value)

    def _text(self, key: str, value: object) -> str:
        """Returns the value of a key, if it is a non-empty text."""
        if not isinstance(value, str) or not value.strip():
            raise self._error(f"{key} = {value!r} is not accepted", "Accepted values: a text that is not blank.")
        return value

    def _lists(self, key: str, table: object) -> dict[str, list[str]]:
        """Returns a table, if each of its values is a list of names."""
        if not isinstance(table, dict):
            raise self._error(f"{key} = {table!r} is not accepted", f"Accepted values: a table; write it as [{key}].")
        for name, values in table.items():
            is_list = isinstance(values, list) and all(isinstance(value, str) and value for value in values)
            if not is_list:
                raise self._error(f"{key}.{name} = {values!r} is not accepted", "Accepted values: a list of names.")
        return table

    def _check_fields(self, key: str, table: dict[str, list[str]], fields: list[str]) -> None:
        """Raises if a key of a table is not the name of a field."""
        for name in table:
            if name not in fields:
                raise self._error(f"unknown key {key}.{name}", choices(name, fields, "Accepted values"))

    def _events(self, table: object) -> list[tuple[str, str]]:
        """Returns the added conversion types in lower case, with their events."""
        if not isinstance(table, dict):
            raise self._error(f"events = {table!r} is not accepted", "Accepted values: a table; write it as [events].")
        known = {value for value, _ in page.EVENTS}
        added: dict[str, str] = {}
        for value, event in table.items():
            lowered = value.translate(ASCII_LOWER)
            if lowered in known or lowered in added:
                raise self._error(
                    f"events.{value} is claimed twice: the page or the file already maps this conversion_type",
                    "Remove the entry, or map another conversion_type.",
                )
            added[lowered] = self._text(f"events.{value}", event)
        return list(added.items())

    def _paths(self, table: object) -> tuple[BodyPath, ...]:
        """Returns the paths of a file, if all of them can be parsed."""
        if not isinstance(table, dict):
            raise self._error(f"paths = {table!r} is not accepted", "Accepted values: a table; write it as [paths].")
        paths = []
        for written, parameter in table.items():
            steps = steps_of(written)
            if not steps:
                raise self._error(
                    f"paths.{written!r} is not a path",
                    'Write a quoted path such as "customer.email", "codes[0]" or "notes[name=click_id].value".',
                )
            paths.append(BodyPath(written, self._text(f"paths.{written!r}", parameter), steps))
        return tuple(paths)

    def _conditions(self, key: str, table: object) -> tuple[Condition, ...]:
        """Returns the conditions of a table: parameter or path -> values."""
        conditions = []
        for written, values in self._lists(key, table).items():
            steps = steps_of(written)
            if not steps:
                raise self._error(f"{key}.{written!r} is not a parameter or path", "Write it as in [paths].")
            conditions.append(Condition(BodyPath(written, "", steps), tuple(values)))
        return tuple(conditions)

    def _charset(self, value: object) -> str | None:
        """Returns the character encoding of forms, if it is known or names a parameter."""
        if value is None or (isinstance(value, str) and (_PARAMETER.fullmatch(value) or codec_of(value))):
            return value
        raise self._error(
            f"body_charset = {value!r} is not accepted",
            'Accepted values: an encoding such as "windows-1252", or "{charset}" for the parameter that names it.',
        )

    def _recognition(self, table: object) -> Recognition | None:
        """Returns how records are recognised: `what` and `names`."""
        if table is None:
            return None
        if not isinstance(table, dict) or table.keys() != {"what", "names"} or not isinstance(table["names"], list):
            raise self._error(f"recognition = {table!r} is not accepted", "Accepted values: what and names.")
        names = self._lists("recognition", {f"names[{place}]": names for place, names in enumerate(table["names"])})
        return Recognition(self._text("recognition.what", table["what"]), tuple(map(tuple, names.values())))

    def _check_paths(self, ruleset: Ruleset) -> None:
        """Raises if a path's parameter is unknown, or if the path's own name is an accepted name already."""
        names = [name for field in (*ruleset.core_fields, ruleset.item_containers) for name in field.accepted]
        folded = {fold(name) for name in names}
        exact = {name for field in ruleset.exact_fields for name in field.accepted}
        for path in ruleset.paths:
            if fold(path.parameter) not in folded and path.parameter not in exact:
                raise self._error(
                    f"paths.{path.written!r} = {path.parameter!r}: no field accepts that parameter",
                    f"Accepted values: {', '.join(_alias_fields())}, or another accepted name of these fields.",
                )
            if any(fold(name) in folded or name in exact for name in (path.written, path.form_name)):
                raise self._error(
                    f"paths: {path.written!r} is claimed twice: a field already accepts a parameter of that name",
                    f"Remove the path from [paths]; it cannot fill {path.parameter}.",
                )

    def _collect_path(self, value: object) -> str:
        """Returns the collect path, if it has a fixed word and contains each placeholder once at most."""
        text = self._text("collect_path", value)
        if not is_collect_path(text):
            raise self._error(
                f"collect_path = {text!r} is not accepted",
                "Accepted values: a path with a fixed word, and with {account} and {integration} once at most.",
            )
        return text

    def _digits(self, table: object) -> tuple[tuple[str, int], ...]:
        """Returns the currencies with a minor unit of their own, and its power of ten."""
        if not isinstance(table, dict) or not all(type(power) is int and 0 <= power <= 9 for power in table.values()):
            raise self._error(
                f"minor_unit_digits = {table!r} is not accepted",
                "Accepted values: a table of currencies and a power of ten from 0 to 9, such as ISK = 2.",
            )
        return tuple((currency.upper(), power) for currency, power in table.items())

    def _window(self, value: object) -> timedelta | None:
        """Returns the deduplication window of a text such as `30d`; None for `off`."""
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
        """Raises if two fields claim one name."""
        containers = ruleset.item_containers
        by_fold = (*ruleset.core_fields, containers)
        self._check_unique("aliases", [(fold(name), field) for field in by_fold for name in field.accepted])
        exact = [(name, field) for field in ruleset.exact_fields for name in field.accepted]
        self._check_unique("aliases", exact)
        core = {fold(name): field for field in by_fold for name in field.accepted}
        for name, field in exact:
            other = core.get(fold(name))
            if other and other.name != field.name:
                raise self._claimed_twice("aliases", name, other.name, field.name)
        self._check_unique(
            "item_aliases", [(fold(name), field) for field in ruleset.item_fields for name in field.accepted]
        )

    def _check_unique(self, key: str, claims: list[tuple[str, page.Field]]) -> None:
        """Raises if a name belongs to fields of different names."""
        owners: dict[str, str] = {}
        for name, field in claims:
            owner = owners.setdefault(name, field.name)
            if owner != field.name:
                raise self._claimed_twice(key, name, owner, field.name)

    def _claimed_twice(self, key: str, name: str, first: str, second: str) -> RulesetError:
        return self._error(
            f"{key}: {name!r} is claimed twice, by {first} and by {second}",
            f"Remove the name from {key}.{first} or from {key}.{second}.",
        )


def _alias_fields() -> list[str]:
    """Returns the names of the fields that `[aliases]` can extend."""
    fields = (*page.CORE_FIELDS, *page.EXACT_FIELDS, page.ITEM_CONTAINERS)
    return list(dict.fromkeys(field.name for field in fields))


def _extended(fields: tuple[page.Field, ...], added: dict[str, list[str]]) -> tuple[page.Field, ...]:
    """Returns the fields with the added names after their accepted names."""
    return tuple(field._replace(accepted=(*field.accepted, *added.get(field.name, ()))) for field in fields)
