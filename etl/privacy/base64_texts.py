"""Texts in base64: the bodies and payloads of messages (rules 9.1)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, NamedTuple

#: Base64 of a text: its first characters are ASCII. Or base64 of gzip bytes.
BASE64: Final = r"(?:(?:[A-Za-f][A-Za-z0-9+/]{3}){4}|H4sI[A-Za-z0-9+/]{12})[A-Za-z0-9+/]*={0,2}"
#: The fewest bytes of such base64.
BASE64_BYTES: Final = 16
_BASE64: Final = re.compile(BASE64)
#: The same within a text, with slashes escaped or not.
BASE64_WITHIN: Final = re.compile(r"(?<![A-Za-z0-9+/])(?:[A-Za-z0-9+]|\\?/){16,}={0,2}")

#: The beginning of JSON in base64.
JSON_HEADS: Final = ("ey", "ew", "W3", "W1")

_GZIP: Final = b"\x1f\x8b"

#: Bytes that no text has, and what shows an address among them.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ADDRESS: Final = re.compile(rb"[\w.+-](?:@|%40)[\w-]+\.[A-Za-z]{2}")

#: At least this share of the bytes of a text in Latin-1 is ASCII.
_ASCII_SHARE: Final = 0.6


class Base64Text(NamedTuple):
    """A text that was in base64.

    Attributes:
        text: The text; empty if it is packed, so that nothing can be found in it.
        charset: How its bytes were decoded.
    """

    text: str
    charset: str = "utf-8"

    @property
    def is_packed(self) -> bool:
        """Whether the bytes are gzip."""
        return not self.text

    def encoded(self, text: str) -> str:
        """Encodes another text in base64 like this one."""
        return base64.b64encode(text.encode(self.charset, "replace")).decode()


def decoded_base64(text: str) -> Base64Text | None:
    """Decodes base64 of a text or of gzip bytes; None for all other texts. Base64 that breaks off counts, too.

    Bytes that are no text count only if an address may stand among them.

    Examples:
        >>> decoded_base64("ZW1haWw9YW5uJTQwZXhhbXBsZS5jb20=").text
        'email=ann%40example.com'
        >>> decoded_base64("H4sIAAAAAAAAA0vMywMA").is_packed, decoded_base64("3f2504e04f8941d39a0c0305e82c3301")
        (True, None)
    """
    if not _BASE64.fullmatch(text):
        return None
    bare = text.rstrip("=")
    try:
        data = base64.b64decode(bare[: len(bare) - (len(bare) % 4 == 1)] + "=" * (-len(bare) % 4))
    except binascii.Error:
        return None
    if data.startswith(_GZIP):
        return Base64Text("")
    if _CONTROL.search(data) and not _ADDRESS.search(data):
        return None
    try:
        return Base64Text(data.decode())
    except UnicodeDecodeError:
        is_text = len(data.decode("ascii", "ignore")) >= _ASCII_SHARE * len(data) or _ADDRESS.search(data)
        return Base64Text(data.decode("latin-1"), "latin-1") if is_text else None
