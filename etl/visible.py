"""Text of senders as it may be shown: whatever it holds, it moves, styles and hides nothing."""

from __future__ import annotations

import re
from typing import Final

#: Controls, marks that turn the direction of text, blanks of no width, surrogates and noncharacters.
HIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff0-\ufffb\ufffe-\uffff\ud800-\udfff]"
)
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    r"""The text with every character that a terminal or a page would obey or hide as its escape.

    Examples:
        >>> visible("a\x1b[31mb\nc\u202e")
        'a\\x1b[31mb\\nc\\u202e'
    """
    return HIDDEN.sub(lambda match: _SHORT.get(match[0]) or _escape(ord(match[0])), text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
