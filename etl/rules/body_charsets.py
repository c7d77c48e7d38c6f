"""Decodes forms that are not in UTF-8, by a character encoding that the ruleset or a parameter names (rules 1.2)."""

from __future__ import annotations

import codecs
import re
from functools import cache
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes

#: Encodings of forms by Python's names. Browsers and PayPal call windows-1252 ISO-8859-1 or US-ASCII, too.
_CODECS: Final = frozenset(
    (
        *(f"cp125{digit}" for digit in range(9)),
        *(f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)),
        *("utf-8", "koi8-r", "koi8-u", "cp874", "tis-620", "shift_jis", "euc_jp", "euc_kr", "gb2312", "gbk"),
        *("gb18030", "big5"),
    )
)
_LATIN: Final = ("iso8859-1", "ascii", "latin-1")


@cache
def codec_of(charset: str) -> str | None:
    """Returns Python's name of a character encoding of forms; None for any other text.

    Examples:
        >>> [codec_of(name) for name in ("windows-1252", "ISO-8859-1", "UTF-8", "rot13", "{charset}", "x")]
        ['cp1252', 'cp1252', 'utf-8', None, None, None]
    """
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        return None
    return "cp1252" if name in _LATIN else name if name in _CODECS else None


def in_utf8(form: str, charset: str) -> str:
    """Returns a form whose percent escapes are UTF-8, of one whose escapes are in another encoding.

    Args:
        form: The form.
        charset: The name of the encoding, or `{parameter}` for the parameter of the form that names it.

    Examples:
        >>> in_utf8("charset=windows-1252&item=T%E9+1", "{charset}"), in_utf8("charset=UTF-8&item=T%E9", "{charset}")
        ('charset=windows-1252&item=T%C3%A9%201', 'charset=UTF-8&item=T%E9')
    """
    if charset.startswith("{"):
        match = re.search(rf"(?:^|&){re.escape(charset[1:-1])}=([^&]*)", form)
        charset = unquote(match[1]).strip() if match else ""
    codec = codec_of(charset)
    if codec in (None, "utf-8"):
        return form
    pieces = (piece.partition("=") for piece in form.split("&"))
    return "&".join(_recoded(name, codec) + equals + _recoded(value, codec) for name, equals, value in pieces)


def _recoded(text: str, codec: str | None) -> str:
    """Returns an encoded name or value with escapes in UTF-8."""
    if "%" not in text or not codec:
        return text
    return quote(unquote_to_bytes(text.replace("+", " ")).decode(codec, "replace"), safe="")
