"""Detects values that are placeholders: unexpanded macros, placeholder and null words, test values (rules 3.2).

All of these must be the whole trimmed value. A null word such as `[object Object]` is no macro.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from itertools import chain
from typing import Final

import numpy as np
import polars as pl

from etl.columnar.string_buffers import MAY_BE_BLANK, Bytes, Truths, byte_marks, decoded_texts, first_bytes

#: The name of a macro, with single blanks within and at its edges.
_NAME: Final = r" ?[A-Za-z0-9$_](?: ?[A-Za-z0-9_.|$\[\]-])* ?"
_NAME_WITHOUT_BRACKETS: Final = r" ?[A-Za-z0-9$_](?: ?[A-Za-z0-9_.|$-])* ?"

#: Brackets that trackers put around the name of a macro, which they should replace by a value; what is around it where
#: one side got lost.
BRACKETS: Final = (
    ("{", "}"),
    ("{{", "}}"),
    ("{{{", "}}}"),
    ("[", "]"),
    ("[[", "]]"),
    ("[[[", "]]]"),
    ("<", ">"),
    ("<%=", "%>"),
    ("${", "}"),
    ("%", "%"),
    ("%%", "%%"),
    ("__", "__"),
    ("!", "!"),
    ("!!", "!!"),
    ("!!!", "!!!"),
    ("--", "--"),
    ("#", "#"),
    ("##", "##"),
    ("*|", "|*"),
    ("$$", "$$"),
    ("@@", "@@"),
)
HALF_BRACKETS: Final = (
    *(("{", ""), ("{{", ""), ("${", ""), ("[", ""), ("[[", ""), ("<", "")),
    *(("", "}"), ("", "}}"), ("", "]"), ("", "]]"), ("", ">")),
)


def _any_of(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in words)


_MACRO_PATTERN: Final = "^(?:{})$".format(
    "|".join(
        re.escape(left) + name + re.escape(right)
        for brackets, name in ((BRACKETS, _NAME), (HALF_BRACKETS, _NAME_WITHOUT_BRACKETS))
        for left, right in brackets
    )
)
_ESCAPE: Final = "%[0-9A-Fa-f]{2}"

#: Words for a missing value, and those that mean it only where an identifier is expected.
NULL_WORDS: Final = ("null", "undefined", "none", "nil", "nan", "n/a", "na", "-", "[object object]")
NULL_IDS: Final = (*NULL_WORDS, "0", "false", "unknown")
TEST_VALUES: Final = ("test", "testing", "demo", "test123")

#: Placeholders of manuals: names of fields, each also with `YOUR_` before or `_HERE` behind, and other words.
PLACEHOLDER_FIELDS: Final = (
    *("CLICK_ID", "CLICKID", "REF_ID", "REFID", "TRANSACTION_ID", "TRANSACTIONID", "ORDER_ID", "ORDERID"),
)
PLACEHOLDER_WORDS: Final = ("REPLACE_ME", "REPLACE_THIS", "CHANGE_ME", "CHANGEME", "PLACEHOLDER")
_PLACEHOLDER: Final = rf"^(?:(?:YOUR_)?(?:{_any_of(PLACEHOLDER_FIELDS)})(?:_HERE)?|{_any_of(PLACEHOLDER_WORDS)})$"

_MACRO_BEGINS: Final = np.zeros(256, np.bool_)
_MACRO_BEGINS[[ord(left[0]) for left, _ in (*BRACKETS, *HALF_BRACKETS) if left]] = True

#: Bits of bytes that junk has: `%` and the ends of a macro whose left bracket got lost, `=`, the first of U+FFFD, and
#: the beginnings of macros; then of bytes that no macro has, and that no null word has.
_MACRO, _ENCODED, _EQUALS, _UNDECODED, _BRACKET, _NO_MACRO, _NO_NULL = (np.uint8(1 << bit) for bit in range(7))
_MARKS: Final = np.where(_MACRO_BEGINS, _BRACKET, np.uint8(0))
_MARKS[list(b"}]>%")] |= _MACRO
_MARKS[ord("%")] |= _ENCODED
_MARKS[ord("=")] |= _EQUALS
_MARKS["\ufffd".encode()[0]] |= _UNDECODED
for _bit, _words in (
    (_NO_MACRO, (string.ascii_letters, string.digits, "$_.|-", *chain.from_iterable((*BRACKETS, *HALF_BRACKETS)))),
    (_NO_NULL, (*NULL_WORDS, *map(str.upper, NULL_WORDS))),
):
    _MARKS[list(set(range(ord("!"), 0x7F)) - set("".join(_words).encode()))] |= _bit

_PLACEHOLDER_BEGINS: Final = MAY_BE_BLANK.copy()
_PLACEHOLDER_BEGINS[[ord(word[0]) for word in (*PLACEHOLDER_FIELDS, *PLACEHOLDER_WORDS, "YOUR_")]] = True


def find_junk(texts: pl.Series) -> dict[str, Truths]:
    """Finds junk that shows in a value alone, whatever field it fills: issue code -> whether each value is that.

    `lost_separator` is only suspected: the value contains `=`, so that it may have swallowed parameters (rules 2.7).
    """
    marks = byte_marks(texts, _MARKS)
    return {
        "unresolved_macro": _find_macros(texts, marks).to_numpy(),
        "null_word": _is_word(texts, NULL_WORDS, marks & _NO_NULL == 0).to_numpy(),
        "undecodable_text": _find_undecodable(texts, marks).to_numpy(),
        "lost_separator": marks & _EQUALS != 0,
    }


def is_macro(texts: pl.Series) -> pl.Series:
    """Returns whether each value is an unexpanded macro such as `{clickid}` or `%%x%%`, also percent-encoded.

    False for null.

    Examples:
        >>> is_macro(pl.Series(["{clickid}", "%7Bclickid%7D", "clickid}", "__ID__", "a{b}", "{}", None])).to_list()
        [True, True, True, True, False, False, False]
    """
    return _find_macros(texts, byte_marks(texts, _MARKS))


def _find_macros(texts: pl.Series, marks: Bytes) -> pl.Series:
    def matches(suspects: pl.Series) -> pl.Series:
        trimmed = suspects.str.strip_chars()
        is_found = trimmed.str.contains(_MACRO_PATTERN) | decoded_texts(trimmed).str.contains(_MACRO_PATTERN)
        return is_found & ~is_null_word(trimmed)

    firsts = first_bytes(texts)
    may_begin = _MACRO_BEGINS.take(firsts) | (MAY_BE_BLANK.take(firsts) & (marks & _BRACKET != 0))
    return _check_suspects(texts, (may_begin | (marks & _MACRO != 0)) & (marks & _NO_MACRO == 0), matches)


def is_null_word(texts: pl.Series) -> pl.Series:
    """Returns whether each value is a word for a missing value, such as `null`, in any ASCII case; false for null."""
    return _is_word(texts, NULL_WORDS)


def is_null_id(texts: pl.Series) -> pl.Series:
    """Returns whether each identifier is a null word, also `0`, `false` and `unknown`; false for null."""
    return _is_word(texts, NULL_IDS)


def is_placeholder_word(texts: pl.Series) -> pl.Series:
    """Returns whether each value is the placeholder of a manual, such as `YOUR_CLICK_ID`; false for null.

    Examples:
        >>> is_placeholder_word(pl.Series(["YOUR_ORDER_ID_HERE", "CLICKID ", "click_id", "CLICK_ID_1", None])).to_list()
        [True, True, False, False, False]
    """
    may_be = _PLACEHOLDER_BEGINS.take(first_bytes(texts))
    return _check_suspects(texts, may_be, lambda suspects: suspects.str.strip_chars().str.contains(_PLACEHOLDER))


def is_junk_id(texts: pl.Series) -> pl.Series:
    """Returns whether each identifier is a macro, a placeholder word or a null word, which identifies nothing.

    Examples:
        >>> is_junk_id(pl.Series(["{id}", "ORDER_ID", "unknown", "5001", None])).to_list()
        [True, True, True, False, False]
    """
    return is_macro(texts) | is_placeholder_word(texts) | is_null_id(texts)


def is_test_value(texts: pl.Series) -> pl.Series:
    """Returns whether each value is a test value, such as `test`, in any ASCII case; false for null."""
    return _is_word(texts, TEST_VALUES)


def is_double_encoded(texts: pl.Series) -> pl.Series:
    """Returns whether each decoded value still contains a percent escape and is no macro; false for null."""
    may_be = byte_marks(texts, _MARKS) & _ENCODED != 0
    return _check_suspects(texts, may_be, lambda suspects: suspects.str.contains(_ESCAPE) & ~is_macro(suspects))


def _find_undecodable(texts: pl.Series, marks: Bytes) -> pl.Series:
    may_be = marks & _UNDECODED != 0
    return _check_suspects(texts, may_be, lambda suspects: suspects.str.contains("\ufffd", literal=True))


def _is_word(texts: pl.Series, words: tuple[str, ...], may_be: Truths | None = None) -> pl.Series:
    """Returns whether each trimmed text is one of the words, in any ASCII case; false for null and not `may_be`."""
    begins = MAY_BE_BLANK.copy()
    begins[[ord(letter) for word in words for letter in (word[0], word[0].upper())]] = True
    pattern = rf"^\s*(?i-u:{_any_of(words)})\s*$"
    is_suspect = begins.take(first_bytes(texts))
    if may_be is not None:
        is_suspect &= may_be
    return _check_suspects(texts, is_suspect, lambda suspects: suspects.str.contains(pattern))


def _check_suspects(texts: pl.Series, may_be: Truths, check: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Applies a check to the texts that may match, and returns false for all other texts.

    Args:
        texts: String.
        may_be: For each text whether it may match.
        check: Returns whether each text matches.
    """
    suspects = np.flatnonzero(may_be)
    truth = np.zeros(len(texts), np.bool_)
    if len(suspects):
        truth[suspects] = check(texts[suspects]).fill_null(False).to_numpy()
    return pl.Series(truth)
