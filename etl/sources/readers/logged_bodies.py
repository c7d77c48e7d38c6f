"""Finds the body of a request that a line of text holds in its last quoted field (rules 1.7)."""

from __future__ import annotations

import re
from typing import Final

from etl.columnar import json_codec
from etl.sources.readers.escapes import undo_backslashes

_ESCAPED: Final = re.compile(rb'(?<!\\)"((?:[^"\\]|\\.)*)"\s*\Z', re.DOTALL)
_RAW: Final = re.compile(rb'[ |,=\t]"(\{.*\})"\s*\Z', re.DOTALL)


def logged_body(line: bytes) -> str | None:
    r"""Returns the JSON object in the last quoted field of a line, with or without escapes; None if there is none.

    Examples:
        >>> logged_body(rb'"POST /a HTTP/1.1" 200 "{\x22click_id\x22:\x221\x22}"')
        '{"click_id":"1"}'
        >>> logged_body(b'"POST /a HTTP/1.1" 200 "{"click_id":"1"}"')
        '{"click_id":"1"}'
        >>> logged_body(b'"POST /a HTTP/1.1" 200 "Acme/1"')
    """
    if not line.rstrip().endswith(b'}"'):
        return None
    escaped, raw = _ESCAPED.search(line), _RAW.search(line)
    texts = (undo_backslashes(escaped[1]) if escaped else b"", raw[1] if raw else b"")
    for text in texts:
        if text.startswith(b"{") and json_codec.is_json(text):
            return text.decode("utf-8", "replace")
    return None
