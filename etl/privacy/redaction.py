"""Raw records without personal values (rules 9.1): what rejections keep, and a warehouse for what may become one.

Values become `sha256:<hex>` of the normal form that the hash columns use, so that they still join. `personal` redacts
one record at a time; regular JSON records are redacted all at once by `raw_objects`, and so are the regular lines of
access logs: what stands before the time, in the path and behind the target is looked at once for each distinct text,
parameters are found by the positions of their delimiters, and only what may hold an address is looked at one by one.
Both ways give the same text.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from etl.columnar.delimited_rows import layout_of
from etl.columnar.factorize import numbered
from etl.columnar.string_buffers import Bytes, Positions, Splices, Truths, decoded_texts, glued, spliced, texts_of
from etl.options import Pii
from etl.privacy.json_redaction import MANY, redact_objects
from etl.privacy.log_redaction import RawLines, regular_lines
from etl.privacy.redactor import ADDRESS, MARK, VALUES, Addition, Redactor, stand_ins
from etl.privacy.templates import address_places, filled_in, templates_of
from etl.rules.ruleset import Ruleset


def redact_raws(raws: pl.Series, pii: Pii, ruleset: Ruleset, layouts: pl.Series | None = None) -> pl.Series:
    """The records as text without personal values; unchanged for `keep`, `redacted` in their place for `drop`.

    Args:
        raws: String: log lines or JSON texts, well-formed or not; nothing null.
        pii: What becomes of personal values.
        ruleset: Its aliases of personal traits are personal too.
        layouts: Aligned with them, the text of the layout of each that is a row of a table; null for others.
    """
    if pii == "keep" or not len(raws):
        return raws
    if layouts is not None and layouts.null_count() < len(layouts):
        return _rows(raws, layouts, Redactor(ruleset, pii))
    if len(raws) < MANY:
        return _one_at_a_time(raws, Redactor(ruleset, pii))
    objects, texts = redact_objects(raws, Redactor(ruleset, pii), pii)
    others = np.delete(np.arange(len(raws)), objects)
    if not len(others):
        return texts.alias(raws.name)
    lines = _redact_lines(raws.gather(others), Redactor(ruleset, pii), pii)
    return raws.clone().scatter(objects, texts).scatter(others, lines)


def _rows(raws: pl.Series, layouts: pl.Series, redactor: Redactor) -> pl.Series:
    templates = [
        redactor.template(raw) if layout is None else redactor.row(raw, layout_of(layout))
        for raw, layout in zip(raws, layouts, strict=True)
    ]
    return redactor.filled(templates).alias(raws.name)


def _one_at_a_time(raws: pl.Series, redactor: Redactor) -> pl.Series:
    return redactor.filled([redactor.template(raw) for raw in raws]).alias(raws.name)


def _redact_lines(raws: pl.Series, redactor: Redactor, pii: Pii) -> pl.Series:
    buffer, ends = glued(raws, " ")
    starts = np.append(0, ends + 1)[:-1]
    lines = regular_lines(buffer, starts, ends)
    if not len(lines.numbers):
        return _one_at_a_time(raws, redactor)
    others = np.delete(np.arange(len(starts)), lines.numbers)
    params = _params(buffer, lines, redactor)
    written = [
        templates_of(buffer, lines.starts, lines.clocks, redactor.scrub),
        templates_of(buffer, lines.targets, lines.path_ends, redactor.scrub),
        templates_of(buffer, *_suspects(buffer, params), redactor.scrub),
        templates_of(buffer, lines.target_ends, lines.ends, redactor.words),
        templates_of(buffer, starts[others], ends[others], redactor.template),
    ]
    splices = Splices.merged([_hidden(buffer, params, pii), *filled_in(written, redactor.filled)])
    return spliced(buffer, starts, ends, splices)


def redact_anew(raws: pl.Series, pii: Pii, ruleset: Ruleset, layout: str | None = None) -> pl.Series:
    """Records that are redacted already, also without the values of what this ruleset alone calls personal.

    Args:
        raws: String: records as `redact_raws` wrote them by another ruleset.
        pii: What became of personal values.
        ruleset: The present rules.
        layout: The text of the layout of all of them, if they are rows of a table.
    """
    redactor = Addition(ruleset, pii)
    if pii == "keep" or not redactor.traits:
        return raws
    if layout is None:
        return _one_at_a_time(raws, redactor)
    return _rows(raws, pl.Series([layout]).new_from_index(0, len(raws)), redactor)


class _Params(NamedTuple):
    """The parameters of the queries of some lines.

    Attributes:
        lines: The line of each, ascending.
        starts: Where it begins.
        name_ends: Where its name ends.
        ends: Where it ends.
        names: The distinct names, as sent.
        numbers: Index of each parameter's name in `names`.
        traits: Of each distinct name, what its value is: a trait, ADDRESS, or null.
        is_personal: Whether its value is to be hidden.
    """

    lines: Positions
    starts: Positions
    name_ends: Positions
    ends: Positions
    names: pl.Series
    numbers: Positions
    traits: pl.Series
    is_personal: Truths

    def values(self, buffer: Bytes, index: Positions) -> pl.Series:
        """The values of some of them, decoded."""
        texts = texts_of(buffer, np.minimum(self.name_ends + 1, self.ends)[index], self.ends[index])
        decoded = decoded_texts(texts.str.replace_all("+", " ", literal=True))
        return decoded.str.replace_all(MARK, "\ufffd", literal=True)


def _params(buffer: Bytes, lines: RawLines, redactor: Redactor) -> _Params:
    marks = np.flatnonzero(buffer == ord("&"))
    first = np.append(lines.queries, len(buffer))
    line = np.searchsorted(first, marks, side="right") - 1
    marks = marks[(line >= 0) & (marks < np.append(lines.target_ends, 0)[line])]
    starts = np.sort(np.concatenate([lines.queries, marks + 1]), kind="stable")
    ends = np.sort(np.concatenate([lines.target_ends, marks]), kind="stable")
    equals = np.append(np.flatnonzero(buffer == ord("=")), len(buffer))
    name_ends = np.minimum(equals[np.searchsorted(equals, starts)], ends)
    names, numbers = numbered(texts_of(buffer, starts, name_ends))
    traits = pl.Series([redactor.trait(name) for name in names], dtype=pl.String)
    number = numbers.to_numpy()
    is_personal = traits.is_not_null().to_numpy()[number] & (name_ends + 1 < ends)
    of_line = np.searchsorted(first, starts, side="right") - 1
    return _Params(of_line, starts, name_ends, ends, names, number, traits, is_personal)


def _hidden(buffer: Bytes, params: _Params, pii: Pii) -> Splices:
    """What takes the place of personal values."""
    index = np.flatnonzero(params.is_personal)
    traits = params.traits.gather(params.numbers[index])
    texts = pl.Series(["-"]).new_from_index(0, len(index))
    hashed = np.flatnonzero((traits != ADDRESS).to_numpy())
    countries = _countries(buffer, params).gather(params.lines[index[hashed]])
    values = pl.DataFrame([traits.gather(hashed), params.values(buffer, index[hashed]), countries], VALUES)
    return Splices(params.name_ends[index] + 1, params.ends[index], texts.scatter(hashed, stand_ins(values, pii)))


def _countries(buffer: Bytes, params: _Params) -> pl.Series:
    """The first `country` of each line, decoded; null for none."""
    height = int(params.lines[-1]) + 1 if len(params.lines) else 0
    countries = pl.Series([None], dtype=pl.String).new_from_index(0, height)
    index = np.flatnonzero((params.names == "country").to_numpy()[params.numbers])
    lines, first = np.unique(params.lines[index], return_index=True)
    return countries.scatter(lines, params.values(buffer, index[first]))


def _suspects(buffer: Bytes, params: _Params) -> tuple[Positions, Positions]:
    """The parameters that may hold an address, but for values that are hidden anyway: spans of the buffer."""
    places = address_places(buffer[: params.ends[-1]] if len(params.ends) else buffer[:0])
    index = np.searchsorted(params.starts, places, side="right") - 1
    is_within = (index >= 0) & (places < np.append(params.ends, 0)[index])
    index = np.unique(index[is_within])
    return params.starts[index], np.where(params.is_personal, params.name_ends, params.ends)[index]
