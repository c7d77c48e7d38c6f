"""Explains how each parameter of a postback is used, from the pipeline's frames; masks personal values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar import json_codec
from etl.options import Options
from etl.privacy.redaction import redact_raws
from etl.reports.explain.explanation import ParameterUse
from etl.reports.explain.wording import USE
from etl.rules import page
from etl.rules.parameter_names import Meaning, meaning_of
from etl.rules.ruleset import Ruleset, fold
from etl.steps.field_resolution import IDENTITY_EMAIL, field_columns, resolve_aliases
from etl.steps.items import build_items
from etl.steps.money import read_amounts
from etl.steps.pipeline import Judged

_PAGE_NAMES: Final = {
    name for field in (*page.CORE_FIELDS, *page.EXACT_FIELDS, page.ITEM_CONTAINERS) for name in field.accepted
}
_PAGE_FOLDS: Final = {fold(name) for name in _PAGE_NAMES}


class _JudgedParameter(NamedTuple):
    """One parameter of a postback, as the pipeline judged it; `place` is its position in the request."""

    place: int
    name: str
    value: str
    is_structure: bool
    is_json: bool
    is_sent: bool
    meaning: Meaning


def list_uses(judged: Judged, ruleset: Ruleset, options: Options) -> tuple[ParameterUse[str], ...]:
    """Lists the use of each parameter for each field that it could fill, in the request's order.

    Args:
        judged: The frames of one postback.
        ruleset: The rules.
        options: The option `pii` decides whether personal values are masked.

    Source: rules 2, 7.4, 8.1, 9.1.
    """
    sent = judged.fields.params.frame().drop("row").with_columns(is_sent=judged.fields.is_sent)
    rows: list[tuple[str, str, bool, bool, bool]] = sent.rows()
    params = [_JudgedParameter(place, *row, meaning_of(row[0], ruleset)) for place, row in enumerate(rows)]
    sources = item_sources(judged, ruleset)
    country = judged.fields.texts["country"][0]
    shown = [_masked(param, country, ruleset, options) for param in params]
    uses = []
    for param, (name, value) in zip(params, shown, strict=True):
        for field, use, instead in _uses(param, params, sources, judged, ruleset):
            source = _source(param, field, use, ruleset)
            uses.append(ParameterUse(name, value, fold(name), field, use, instead, source))
    return tuple(uses)


def _uses(
    param: _JudgedParameter, params: list[_JudgedParameter], sources: set[int], judged: Judged, ruleset: Ruleset
) -> Iterator[tuple[str | None, str, str | None]]:
    """Yields (field, use, instead) of one parameter; `sources` are the places of the parameters that give the items."""
    meaning = param.meaning
    is_refused = not judged.tables.conversions.height
    columns = field_columns(ruleset)
    core = len(ruleset.core_fields)
    places = [place for place in (meaning.core, meaning.exact + core if meaning.exact >= 0 else -1) if place >= 0]
    for column in (columns[place] for place in places):
        yield (_field_name(column), *_use_for(column, param, params, judged))
    if meaning.container >= 0:
        field = ruleset.item_containers.name
        in_json = param.is_json and meaning.bracket_index is not None
        read = "item" if param.place in sources else "bracket_in_json" if in_json else "no_item"
        yield field, "empty" if not param.is_sent else "refused" if is_refused else read, None
    if meaning.is_passthrough:
        yield _passthrough(param, params, judged)
    if meaning.is_path_root and not places and meaning.container < 0:
        yield None, "path_root", None
    elif meaning.is_condition and not places and meaning.container < 0:
        yield None, "condition", None
    if not meaning.is_recognised:
        use = "empty" if not param.is_sent else "near_miss" if meaning.near_miss else "unread"
        yield None, use, meaning.near_miss


def _use_for(
    column: str, param: _JudgedParameter, params: list[_JudgedParameter], judged: Judged
) -> tuple[str, str | None]:
    """Finds how a parameter is used for a field, and the parameter that fills the field instead."""
    if not param.is_sent:
        return "empty", None
    if param.is_structure:
        return "not_scalar", None
    winner = judged.fields.winners[column][0]
    return ("fills", None) if winner == param.place else ("lost", params[winner].name)


def _passthrough(
    param: _JudgedParameter, params: list[_JudgedParameter], judged: Judged
) -> tuple[str, str, str | None]:
    """Finds (field, use, instead) of a passthrough."""
    name = param.name.removeprefix(page.PASSTHROUGH_PREFIX)
    field = f"passthrough {name}"
    if not param.is_sent:
        return field, "empty", None
    stored = dict(judged.tables.passthroughs.select("name", "stored").iter_rows())
    if name not in stored:
        return field, "refused", None
    first = next(other.place for other in params if other.name == param.name and other.is_sent)
    if first != param.place:
        return field, "repeated", None
    return field, "stored" if stored[name] else "dropped", None


def _field_name(column: str) -> str:
    return "email (identity)" if column == IDENTITY_EMAIL else column


def _source(param: _JudgedParameter, field: str | None, use: str, ruleset: Ruleset) -> str:
    """Names the sentence of the page or the ruling behind a parameter's use."""
    if use not in ("fills", "lost") or field is None:
        return USE[use].source
    is_core = field not in {exact_field.name for exact_field in ruleset.exact_fields} and param.meaning.core >= 0
    ruling = ("rules 2.2" if is_core else "rules 2.4") + (", 2.3" if use == "lost" else "")
    if param.name in ruleset.path_ranks or not (param.name in _PAGE_NAMES or fold(param.name) in _PAGE_FOLDS):
        return f"ruleset {ruleset.name}; {ruling}, 11.1"
    known = ruleset.core_fields[param.meaning.core] if is_core else ruleset.exact_fields[param.meaning.exact]
    return f"{known.source}; {ruling}"


def _masked(param: _JudgedParameter, country: str | None, ruleset: Ruleset, options: Options) -> tuple[str, str]:
    """Masks a parameter's name and value as raw records are masked, unless the tables show the value as sent."""
    if options.pii == "keep" or _is_shown_as_sent(param.meaning, ruleset):
        return param.name, param.value
    try:
        value = json_codec.parse(param.value.encode()) if param.is_structure else param.value
        record = json_codec.compact({"country": country, param.name: value})
        redacted = redact_raws(pl.Series("raw", [record]), options.pii, ruleset)[0]
        _, (name, seen) = json_codec.parse(redacted.encode()).items()
    except json_codec.JsonError:  # too deep to be looked through
        return param.name, "redacted"
    return name, json_codec.compact(seen) if json_codec.is_structure(seen) else json_codec.scalar(seen) or ""


def _is_shown_as_sent(meaning: Meaning, ruleset: Ruleset) -> bool:
    """Whether the tables show the values of parameters with this meaning as they were sent."""
    core = ruleset.core_fields[meaning.core].name if meaning.core >= 0 else None
    exact = ruleset.exact_fields[meaning.exact].name if meaning.exact >= 0 else None
    if core == "email" or exact in page.PERSONAL_TRAITS:
        return False
    item_names = {fold(name) for field in ruleset.item_fields for name in field.accepted}
    is_of_item = meaning.bracket_field is not None and fold(meaning.bracket_field) in item_names
    return is_of_item or core is not None or exact is not None or meaning.is_passthrough


#: With more parameters that can hold items, all of them count as sources of the items.
_MAX_ITEM_PARAMETERS: Final = 200


def item_sources(judged: Judged, ruleset: Ruleset) -> set[int]:
    """Finds the places of the parameters that give a postback its items; of equal parameters, the first place.

    A parameter is a source if the items differ without it.

    Args:
        judged: The frames of one postback.
        ruleset: The rules.

    Source: rules 8.1.
    """
    params = judged.fields.params
    pairs = params.frame().select("name", "value").rows()
    places: dict[tuple[str, str], int] = {}
    for place, (name, value) in enumerate(pairs):
        if meaning_of(name, ruleset).container >= 0:
            places.setdefault((name, value), place)
    if len(places) > _MAX_ITEM_PARAMETERS:
        return set(places.values())
    trial_places = [[place for place, pair in enumerate(pairs) if pair != omitted] for omitted in (None, *places)]
    rows = np.repeat(np.arange(len(trial_places)), [len(kept) for kept in trial_places])
    trials = params.at(np.array([place for kept in trial_places for place in kept], np.int64), rows)
    amounts = read_amounts(judged.fields, ruleset, None).select("value", "currency")
    accepted = pl.DataFrame({"row": pl.Series(range(len(trial_places)), dtype=pl.UInt32)}).with_columns(
        amount.new_from_index(0, len(trial_places)) for amount in amounts
    )
    items, _ = build_items(resolve_aliases(trials, len(trial_places), ruleset), accepted, ruleset)
    found = {row: [item[1:] for item in group] for row, group in groupby(items.rows(), key=lambda item: item[0])}
    return {place for row, place in enumerate(places.values(), 1) if found.get(row) != found.get(0)}
