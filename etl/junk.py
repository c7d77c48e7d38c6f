"""Values that are present but plainly junk: unexpanded macros, null words, test values, double encoding.

Source: semantics 3.2. Each is a Series -> Series truth over trimmed text that covers the whole value.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.urlencoded import decoded_texts

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
_MACRO_BEGINS: Final = r"^\s*[{\[$%<_!#-]"
_ESCAPE: Final = "%[0-9A-Fa-f]{2}"

NULL_WORDS: Final = ("null", "undefined", "none", "nan", "n/a", "[object object]")
TEST_VALUES: Final = ("test", "testing", "demo", "test123")


def is_macro(texts: pl.Series) -> pl.Series:
    """Whether the value is an unexpanded macro such as `{clickid}` or `%%x%%`, also percent-encoded; false for null.

    Examples:
        >>> is_macro(pl.Series(["{clickid}", "%7Bclickid%7D", "__ID__", "a{b}", "{}", None])).to_list()
        [True, True, True, False, False, False]
    """
    suspects = texts.set(~texts.str.contains(_MACRO_BEGINS).fill_null(False), None)
    if suspects.null_count() == len(suspects):
        return pl.Series([False]).new_from_index(0, len(texts))
    suspects = suspects.str.strip_chars()
    is_plain = suspects.str.contains(_MACRO)
    is_encoded = decoded_texts(suspects).str.contains(_MACRO)
    return (is_plain | is_encoded).fill_null(False)


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
    pattern = r"^\s*(?i-u:" + "|".join(word.replace("[", r"\[").replace("]", r"\]") for word in words) + r")\s*$"
    return texts.str.contains(pattern).fill_null(False)
