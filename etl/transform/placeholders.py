"""Values that are present but plainly junk: unexpanded macros, null words, test values, double encoding.

Source: rules 3.2. Each is a Series -> Series truth over trimmed text that covers the whole value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from etl.columnar.string_buffers import MAY_BE_BLANK, Truths, decoded_texts, first_bytes

_WORD: Final = r"[A-Za-z][A-Za-z0-9_.:-]*"

#: What trackers put around a name that should have been replaced by a value.
_BRACKETS: Final = (
    (r"\{", r"\}"),
    (r"\{\{ ?", r" ?\}\}"),
    (r"\[", r"\]"),
    (r"\[\[", r"\]\]"),
    (r"\$\{", r"\}"),
    ("%", "%"),
    ("%%", "%%"),
    ("<", ">"),
    ("__", "__"),
    ("!!!", "!!!"),
    ("--", "--"),
    ("#", "#"),
    ("##", "##"),
)
_MACRO: Final = "^(?:" + "|".join(left + _WORD + right for left, right in _BRACKETS) + ")$"
_ESCAPE: Final = "%[0-9A-Fa-f]{2}"

NULL_WORDS: Final = ("null", "undefined", "none", "nan", "n/a", "[object object]")
TEST_VALUES: Final = ("test", "testing", "demo", "test123")


_MACRO_BEGINS: Final = MAY_BE_BLANK.copy()
_MACRO_BEGINS[list(b"{[$%<_!#-")] = True


def is_macro(texts: pl.Series) -> pl.Series:
    """Whether the value is an unexpanded macro such as `{clickid}` or `%%x%%`, also percent-encoded; false for null.

    Examples:
        >>> is_macro(pl.Series(["{clickid}", "%7Bclickid%7D", "__ID__", "a{b}", "{}", None])).to_list()
        [True, True, True, False, False, False]
    """

    def is_one(suspects: pl.Series) -> pl.Series:
        trimmed = suspects.str.strip_chars()
        return trimmed.str.contains(_MACRO) | decoded_texts(trimmed).str.contains(_MACRO)

    return _among(texts, _MACRO_BEGINS, is_one)


def is_null_word(texts: pl.Series) -> pl.Series:
    """Whether the value is a word for nothing, such as `null`, in any ASCII case; false for null."""
    return _is_one_of(texts, NULL_WORDS)


def is_test_value(texts: pl.Series) -> pl.Series:
    """Whether the value is a word people test with, in any ASCII case; false for null."""
    return _is_one_of(texts, TEST_VALUES)


def is_double_encoded(texts: pl.Series) -> pl.Series:
    """Whether the decoded value still holds a percent escape; false for null."""
    return texts.str.contains(_ESCAPE).fill_null(False)


def _is_one_of(texts: pl.Series, words: tuple[str, ...]) -> pl.Series:
    begins = MAY_BE_BLANK.copy()
    begins[[ord(letter) for word in words for letter in (word[0], word[0].upper())]] = True
    pattern = r"^\s*(?i-u:" + "|".join(word.replace("[", r"\[").replace("]", r"\]") for word in words) + r")\s*$"
    return _among(texts, begins, lambda suspects: suspects.str.contains(pattern))


def _among(texts: pl.Series, begins: Truths, is_one: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """A truth about texts that can only hold where the first byte is one of some; false for null."""
    suspects = np.flatnonzero(begins[first_bytes(texts)])
    truth = np.zeros(len(texts), np.bool_)
    if len(suspects):
        truth[suspects] = is_one(texts[suspects]).fill_null(False).to_numpy()
    return pl.Series(truth)
