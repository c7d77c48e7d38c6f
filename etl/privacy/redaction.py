"""Replaces the personal values in raw records (rules 9.1).

A value becomes `sha256:<hex>` of the normal form that the hash columns use, so that it can still be joined. `redactor`
redacts one record at a time. `json_redaction` redacts all regular JSON records of a batch together. This module does
so with regular access-log lines: parameters are found by the positions of their delimiters, the other parts of lines
are redacted once for each distinct text. Both ways give the same text.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar.delimited_rows import layout_of
from etl.columnar.factorize import factorize
from etl.columnar.splices import Splices, spliced
from etl.columnar.string_buffers import Bytes, Positions, Truths, decoded_texts, join_bytes, texts_of
from etl.options import Pii
from etl.privacy.added_traits import AddedTraitsRedactor
from etl.privacy.addresses import MARK, PERSONAL_VALUES, replacements
from etl.privacy.base64_texts import JSON_HEADS
from etl.privacy.json_redaction import MIN_BATCH, redact_objects
from etl.privacy.log_redaction import LineParts, regular_lines
from etl.privacy.personal_names import CLIENT
from etl.privacy.redactor import Redactor
from etl.privacy.templates import address_positions, fill_templates, nesting_positions, templates_of
from etl.rules.ruleset import Ruleset

#: Bytes without which the value of a parameter is no form, URL or JSON, unless it is percent-encoded.
_NESTING_BYTES: Final = np.isin(np.arange(256), tuple(b"=?{[\\<"))

#: Whether two bytes begin JSON in base64.
_JSON_HEADS: Final = np.zeros((256, 256), np.bool_)
for _head in JSON_HEADS:
    _JSON_HEADS[ord(_head[0]), ord(_head[1])] = True


def redact_raws(
    raws: pl.Series,
    pii: Pii,
    ruleset: Ruleset,
    layouts: pl.Series | None = None,
    is_unread: pl.Series | None = None,
) -> pl.Series:
    """Returns raw records with their personal values replaced.

    Args:
        raws: String without nulls: log lines, JSON texts or rows of tables, well-formed or not.
        pii: `keep` changes nothing, `hash` writes hashes, `drop` writes `redacted`.
        ruleset: Its aliases of personal traits are personal too.
        layouts: For each record the text of its layout if it is a row of a table, else null.
        is_unread: Whether each record could not be read; none by default.
    """
    if pii == "keep" or not len(raws):
        return raws
    redactor = Redactor(ruleset, pii)
    unread = pl.repeat(False, len(raws), eager=True) if is_unread is None else is_unread
    if layouts is None:
        layouts = _no_layouts(raws)
    if layouts.null_count() < len(layouts) or len(raws) < MIN_BATCH:
        return _redact_each(raws, redactor, layouts, unread)
    read = np.flatnonzero(~unread)
    found, texts = redact_objects(raws.gather(read), redactor, pii)
    objects = read[found]
    others = np.delete(np.arange(len(raws)), objects)
    if not len(others):
        return texts.alias(raws.name)
    lines = _redact_lines(raws.gather(others), unread.gather(others).to_numpy(), Redactor(ruleset, pii), pii)
    return raws.clone().scatter(objects, texts).scatter(others, lines)


def _no_layouts(raws: pl.Series) -> pl.Series:
    """Returns the layouts of records that are no rows of tables."""
    return pl.repeat(None, len(raws), dtype=pl.String, eager=True)


def _redact_each(raws: pl.Series, redactor: Redactor, layouts: pl.Series, is_unread: pl.Series) -> pl.Series:
    """Redacts records one at a time: rows of tables by their layouts, those that could not be read as broken texts."""
    templates = [
        redactor.unread_text(raw)
        if is_broken
        else redactor.template(raw)
        if layout is None
        else redactor.row(raw, layout_of(layout))
        for raw, layout, is_broken in zip(raws, layouts, is_unread, strict=True)
    ]
    return redactor.fill(templates).alias(raws.name)


def _redact_lines(raws: pl.Series, is_unread: Truths, redactor: Redactor, pii: Pii) -> pl.Series:
    """Redacts the regular access-log lines together, and all other records one at a time."""
    buffer, ends = join_bytes(raws, " ")
    starts = np.append(0, ends + 1)[:-1]
    lines = regular_lines(buffer, starts, ends, ~is_unread)
    if not len(lines.numbers):
        return _redact_each(raws, redactor, _no_layouts(raws), pl.Series(is_unread))
    others = np.delete(np.arange(len(starts)), lines.numbers)
    broken, others = others[is_unread[others]], others[~is_unread[others]]
    params = _params(buffer, lines, redactor)
    written = [
        templates_of(buffer, lines.starts, lines.clocks, redactor.line_head),
        templates_of(buffer, lines.targets, lines.path_ends, redactor.path),
        templates_of(buffer, *_suspects(buffer, params), redactor.piece),
        templates_of(buffer, lines.target_ends, lines.ends, redactor.line_text),
        templates_of(buffer, starts[others], ends[others], redactor.template),
        templates_of(buffer, starts[broken], ends[broken], redactor.unread_text),
    ]
    splices = Splices.merged([_replacements(buffer, params, pii), *fill_templates(written, redactor.fill)])
    return spliced(buffer, starts, ends, splices)


def redact_again(raws: pl.Series, pii: Pii, ruleset: Ruleset, layout: str | None = None) -> pl.Series:
    """Redacts records that were redacted under another ruleset, by the traits that this ruleset adds to the page's.

    Args:
        raws: String: records as `redact_raws` returned them under another ruleset.
        pii: As for the first redaction.
        ruleset: The present rules.
        layout: The text of the layout of all records, if they are rows of a table.
    """
    redactor = AddedTraitsRedactor(ruleset, pii)
    if pii == "keep" or not redactor.traits:
        return raws
    layouts = pl.Series([layout], dtype=pl.String).new_from_index(0, len(raws))
    return _redact_each(raws, redactor, layouts, pl.repeat(False, len(raws), eager=True))


class _QueryParams(NamedTuple):
    """The query parameters of regular lines.

    Attributes:
        lines: Index of each parameter's line, ascending.
        starts: First byte of each parameter.
        name_ends: End of each parameter's name.
        ends: End of each parameter.
        names: The distinct names, as sent.
        numbers: Index of each parameter's name in `names`.
        traits: For each distinct name the trait of its values, CLIENT, or null.
        is_personal: Whether each parameter's value must be replaced.
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
        """Returns the decoded values of the parameters at `index`."""
        texts = texts_of(buffer, np.minimum(self.name_ends + 1, self.ends)[index], self.ends[index])
        decoded = decoded_texts(texts.str.replace_all("+", " ", literal=True))
        return decoded.str.replace_all(MARK, "\ufffd", literal=True)


def _params(buffer: Bytes, lines: LineParts, redactor: Redactor) -> _QueryParams:
    """Splits the queries of regular lines at `&` and `=`."""
    marks = np.flatnonzero(buffer == ord("&"))
    first = np.append(lines.queries, len(buffer))
    line = np.searchsorted(first, marks, side="right") - 1
    marks = marks[(line >= 0) & (marks < np.append(lines.target_ends, 0)[line])]
    starts = np.sort(np.concatenate([lines.queries, marks + 1]), kind="stable")
    ends = np.sort(np.concatenate([lines.target_ends, marks]), kind="stable")
    equals = np.append(np.flatnonzero(buffer == ord("=")), len(buffer))
    name_ends = np.minimum(equals[np.searchsorted(equals, starts)], ends)
    names, numbers = factorize(texts_of(buffer, starts, name_ends))
    traits = pl.Series([redactor.trait(name) for name in names], dtype=pl.String)
    number = numbers.to_numpy()
    is_personal = traits.is_not_null().to_numpy()[number] & (name_ends + 1 < ends)
    of_line = np.searchsorted(first, starts, side="right") - 1
    return _QueryParams(of_line, starts, name_ends, ends, names, number, traits, is_personal)


def _replacements(buffer: Bytes, params: _QueryParams, pii: Pii) -> Splices:
    """Returns the replacements of the personal values."""
    index = np.flatnonzero(params.is_personal)
    traits = params.traits.gather(params.numbers[index])
    texts = pl.Series(["-"]).new_from_index(0, len(index))
    hashed = np.flatnonzero((traits != CLIENT).to_numpy())
    countries = _countries(buffer, params).gather(params.lines[index[hashed]])
    values = pl.DataFrame([traits.gather(hashed), params.values(buffer, index[hashed]), countries], PERSONAL_VALUES)
    return Splices(params.name_ends[index] + 1, params.ends[index], texts.scatter(hashed, replacements(values, pii)))


def _countries(buffer: Bytes, params: _QueryParams) -> pl.Series:
    """Returns the first `country` parameter of each line, decoded; null where a line has none."""
    height = int(params.lines[-1]) + 1 if len(params.lines) else 0
    countries = pl.Series([None], dtype=pl.String).new_from_index(0, height)
    index = np.flatnonzero((params.names == "country").to_numpy()[params.numbers])
    lines, first = np.unique(params.lines[index], return_index=True)
    return countries.scatter(lines, params.values(buffer, index[first]))


def _suspects(buffer: Bytes, params: _QueryParams) -> tuple[Positions, Positions]:
    """Returns the spans of parameters that may contain an address, JSON or a form, without values that are replaced."""
    queries = buffer[: params.ends[-1]] if len(params.ends) else buffer[:0]
    is_nesting = _NESTING_BYTES[queries]
    is_nesting[params.name_ends[params.name_ends < len(queries)]] = False
    places = np.concatenate([address_positions(queries), np.flatnonzero(is_nesting), nesting_positions(queries)])
    index = np.searchsorted(params.starts, places, side="right") - 1
    is_within = (index >= 0) & (places < np.append(params.ends, 0)[index])
    values = np.minimum(params.name_ends + 1, max(len(queries) - 2, 0))
    is_json = _JSON_HEADS[queries[values], queries[values + 1]] & (params.ends > values + 1) if len(queries) > 1 else []
    index = np.union1d(index[is_within], np.flatnonzero(is_json))
    return params.starts[index], np.where(params.is_personal, params.name_ends, params.ends)[index]
