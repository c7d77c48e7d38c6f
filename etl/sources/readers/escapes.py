r"""Undoes the escapes that servers write into logs: once, from left to right, before any URL decoding.

Apache writes `\"`, `\\` and `\xhh`; nginx writes `\xHH` and never a bare backslash. So one pass undoes both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_BACKSLASH: Final = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_JSON_ESCAPE: Final = re.compile(rb"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_HASHED: Final = re.compile(rb"#([0-9A-Fa-f]{2})")
_DOUBLED: Final = re.compile(rb"%25([0-9A-Fa-f]{2})")
_CONTROLS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"v": b"\v", b"f": b"\f"}


def undo_backslashes(text: bytes) -> bytes:
    r"""Returns the bytes that nginx or Apache received, by undoing the backslash escapes of their logs.

    Source: ngx_http_log_escape and ap_escape_logitem, as `log_format` and `LogFormat` document them.

    Examples:
        >>> undo_backslashes(rb'a\"b\\x41\x41\xE9')
        b'a"b\\x41A\xe9'
    """
    return _BACKSLASH.sub(_unescaped, text) if b"\\" in text else text


def _unescaped(match: re.Match[bytes]) -> bytes:
    """Returns the byte that a backslash escape of nginx or Apache stands for; unknown escapes stay as they are."""
    code = match[1]
    if len(code) == 3:
        return bytes([int(code[1:], 16)])
    if code in (b'"', b"\\"):
        return code
    return _CONTROLS.get(code, match[0])


def undo_cloudfront(text: bytes) -> bytes:
    """Undoes one level of CloudFront's encoding, which writes each `%` as `%25`.

    Examples:
        >>> undo_cloudfront(b"a%2520b%C3")
        b'a%20b%C3'
    """
    return _DOUBLED.sub(rb"%\1", text)


def undo_json(text: bytes) -> bytes:
    r"""Returns the bytes that nginx received, from a value written with `escape=json` as in a JSON string.

    Examples:
        >>> undo_json(rb'a\"b\\\u001f\n')
        b'a"b\\\x1f\n'
    """
    return _JSON_ESCAPE.sub(_unescaped_json, text) if b"\\" in text else text


def _unescaped_json(match: re.Match[bytes]) -> bytes:
    """Returns the bytes that a JSON escape stands for."""
    code = match[1]
    if len(code) == 5:
        return chr(int(code[1:], 16)).encode("utf-8", "replace")
    return _CONTROLS.get(code, code)


def undo_haproxy(text: bytes) -> bytes:
    """Returns the bytes that HAProxy received, by undoing its escapes `#HH`.

    Examples:
        >>> undo_haproxy(b"a#22b#23")
        b'a"b#'
    """
    return _HASHED.sub(lambda match: bytes([int(match[1], 16)]), text)


def _unchanged(text: bytes) -> bytes:
    return text


#: Name of an escape -> the function that undoes it.
ESCAPES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "none": _unchanged,
    "backslash": undo_backslashes,
    "json": undo_json,
    "haproxy": undo_haproxy,
    "cloudfront": undo_cloudfront,
}


_PORT: Final = re.compile(r"(?<=[0-9\]]):[0-9]+$")


def client_address(text: str) -> str | None:
    """Returns the first address of a list, without quotes, brackets and port; None if there is no address.

    Examples:
        >>> [client_address(text) for text in ("192.0.2.1:80", "[2001:db8::1]:443", "192.0.2.1, 192.0.2.2", "-")]
        ['192.0.2.1', '2001:db8::1', '192.0.2.1', None]
    """
    first = text.replace('"', "").partition(",")[0].strip()
    address = _PORT.sub("", first) if first.count(":") == 1 or first.startswith("[") else first
    return address.strip("[]-") or None
