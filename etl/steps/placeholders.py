"""Detects values that are placeholders: unexpanded macros, null words, test values, and double encoding (rules 3.2).

Macros, null words and test values must be the whole trimmed value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from etl.columnar.string_buffers import MAY_BE_BLANK, Truths, decoded_texts, first_bytes

_WORD: Final = r"[A-Za-z][A-Za-z0-9_.:-]*"

#: Brackets that trackers put around the name of a macro, which they should replace by a value.
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
    """Returns whether each value is an unexpanded macro such as `{clickid}` or `%%x%%`, also percent-encoded.

    False for null.

    Examples:
        >>> is_macro(pl.Series(["{clickid}", "%7Bclickid%7D", "__ID__", "a{b}", "{}", None])).to_list()
        [True, True, True, False, False, False]
    """

    def matches(suspects: pl.Series) -> pl.Series:
        trimmed = suspects.str.strip_chars()
        return trimmed.str.contains(_MACRO) | decoded_texts(trimmed).str.contains(_MACRO)

    return _check_suspects(texts, _MACRO_BEGINS, matches)


def is_null_word(texts: pl.Series) -> pl.Series:
    """Returns whether each value is a word for a missing value, such as `null`, in any ASCII case; false for null."""
    return _is_word(texts, NULL_WORDS)


def is_test_value(texts: pl.Series) -> pl.Series:
    """Returns whether each value is a test value, such as `test`, in any ASCII case; false for null."""
    return _is_word(texts, TEST_VALUES)


def is_double_encoded(texts: pl.Series) -> pl.Series:
    """Returns whether each decoded value still contains a percent escape; false for null."""
    return texts.str.contains(_ESCAPE).fill_null(False)


def _is_word(texts: pl.Series, words: tuple[str, ...]) -> pl.Series:
    """Returns whether each trimmed text is one of the words, in any ASCII case; false for null."""
    begins = MAY_BE_BLANK.copy()
    begins[[ord(letter) for word in words for letter in (word[0], word[0].upper())]] = True
    pattern = r"^\s*(?i-u:" + "|".join(word.replace("[", r"\[").replace("]", r"\]") for word in words) + r")\s*$"
    return _check_suspects(texts, begins, lambda suspects: suspects.str.contains(pattern))


def _check_suspects(texts: pl.Series, begins: Truths, check: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Applies a check to the texts whose first byte allows a match, and returns false for all other texts.

    Args:
        texts: String.
        begins: For each byte whether a matching text may begin with it.
        check: Returns whether each text matches.
    """
    suspects = np.flatnonzero(begins[first_bytes(texts)])
    truth = np.zeros(len(texts), np.bool_)
    if len(suspects):
        truth[suspects] = check(texts[suspects]).fill_null(False).to_numpy()
    return pl.Series(truth)
