"""Finds postbacks that nothing reads: records without a request whose text holds the collect path (rules 1.3d)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from etl.columnar import json_codec
from etl.rules.ruleset import Ruleset

#: Skips for want of a request. A record with one of them holds no postback, unless its text holds the collect path.
REQUESTLESS: Final = ("not_a_request", "header")

_REQUEST: Final = re.compile(r"[A-Za-z]{3,7} \S+(?: HTTP/[\d.]+)?")
_ADDRESS: Final = re.compile(r"(?:https?://[^/?#]*)?/\S*")
_QUERY: Final = re.compile(r"\??[\w.%\[\]+-]+=\S*")
#: What a role's name may be in `--columns`; an e-mail address is not shown.
_NAME: Final = re.compile(r"@?[^@,=\s]+")

_BY_LAYOUT: Final = "describe its line by --log-format, or by a pattern in a file for --formats"
_BY_KEYS: Final = "name its keys in a file for --formats"
_BY_COLUMN: Final = "name the column of the request, such as --columns url=NAME or --columns record=NAME"


def holds_collect_path(raws: pl.Series, ruleset: Ruleset) -> pl.Series:
    """Returns, for each text, whether it holds the collect path; a missing text holds none."""
    has_word = raws.str.contains(ruleset.collect_word.decode(), literal=True).fill_null(False)
    found = raws.filter(has_word).str.contains(ruleset.collect_text_pattern)
    return has_word.scatter(has_word.arg_true(), found) if found.len() else has_word


def find_unread(requests: pl.DataFrame, is_requestless: pl.Series, ruleset: Ruleset) -> pl.Series:
    """Returns, for each request, whether it is a postback that was not read.

    Args:
        requests: Rows of `schema.REQUESTS`.
        is_requestless: Whether no request was found in a record, nor a payload with an identity.
        ruleset: Gives the collect path.
    """
    is_candidate = is_requestless.fill_null(False)
    if not is_candidate.any():
        return is_candidate
    found = holds_collect_path(requests["raw"].filter(is_candidate), ruleset)
    return is_candidate.scatter(is_candidate.arg_true(), found)


def suggest_reading(raw: str, *, is_table_row: bool, ruleset: Ruleset) -> str:
    """Suggests what would read the request in the text of a record.

    Examples:
        >>> suggest_reading('{"req": {"link": "/a/collect/b?click_id=1"}}', is_table_row=False, ruleset=Ruleset())
        'read it by --columns url=req.link'
        >>> suggest_reading("GET on /a/collect/b", is_table_row=False, ruleset=Ruleset())
        'describe its line by --log-format, or by a pattern in a file for --formats'
    """
    if is_table_row:
        return _BY_COLUMN
    try:
        value = json_codec.parse(raw.encode())
    except json_codec.JsonError:
        return _BY_LAYOUT
    columns = _find_columns(value, ruleset) if isinstance(value, dict) else None
    return f"read it by --columns {columns}" if columns else _BY_KEYS


def _find_columns(value: dict[str, Any], ruleset: Ruleset) -> str | None:
    """Returns the value of `--columns` that reads the first collect path of an object; None if none does."""
    texts = [(path, text) for path, text in _texts(value) if _NAME.fullmatch(path)]
    pattern = re.compile(ruleset.collect_text_pattern)
    path, text = next(((path, text) for path, text in texts if pattern.search(text)), (None, ""))
    if path is None:
        return None
    if not _ADDRESS.fullmatch(text):
        return f"request={path}" if _REQUEST.fullmatch(text) else f"record={path}"
    query = next((other for other, sent in texts if _QUERY.fullmatch(sent)), None)
    return f"url={path}" if "?" in text or query is None else f"path={path},query={query}"


def _texts(value: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yields the texts within an object with their dotted paths."""
    for name, member in value.items():
        if isinstance(member, str):
            yield f"{before}{name}", member
        elif isinstance(member, dict):
            yield from _texts(member, f"{before}{name}.")
