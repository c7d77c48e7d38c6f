"""Finds what follows a personal name in a text that cannot be parsed, whatever its syntax (rules 9.1).

The syntaxes are those of XML, multipart form data, literals of Python and PHP, JSON that breaks off, and lines such as
`email: ann`. What follows a name is hidden to the end of its text: of the element, the part, the literal or the line.
All that stands between the brackets or the tags of a name is hidden, too.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Protocol

from etl.columnar import json_codec
from etl.privacy.addresses import parsed

#: Seven or more digits, or the digits of a telephone number behind a plus; not the number of a placeholder.
LONG_NUMBER: Final = re.compile("(?<![0-9\ufdd0])(?:\\+[0-9](?:[ ().-]{0,2}[0-9]){6,}|[0-9]{7,})")

#: An e-mail address that breaks off with its line.
TORN_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w+][\w.+'’-]{0,254}(?:@|%40)[\w.-]*$", re.MULTILINE)

#: The beginning of XML, of multipart form data, of a literal of Python, PHP or JSON.
_STRUCTURED: Final = re.compile(
    r"""\s*(?:<[?!/]?[A-Za-z]|--[^\r\n]{1,200}(?:\r?\n|\\r\\n)content-|[{\[(][^"']*["'].*[:,=]|[aOs]:[0-9]+:)""",
    re.IGNORECASE | re.DOTALL,
)

#: A name; `name` in the head of a part of multipart form data is none.
_NAME: Final = re.compile(r"(?<!form-data; )(?<!form-data;)(?<!\\)[^\W_](?:[\w.-]|\[[\w.-]*\]){0,99}")

#: The end of a line, as it is or as an escape.
_LINE_END: Final = r"(?:\r?\n|(?:\\+r)?\\+n)"


class _Syntax(NamedTuple):
    """How a value follows a name: the text between both, and the value, whose group is `value`."""

    separator: re.Pattern[str]
    value: re.Pattern[str]


_LITERAL: Final = re.compile(
    r"""(?:[bru]{0,2})(?:(?P<depth>\\+)"(?P<escaped>(?:(?!(?<!\\)(?P=depth)").)*)|"(?P<double>(?:[^"\\]|\\.)*)|'(?P<single>(?:[^'\\]|\\.)*))""",
    re.DOTALL,
)
#: A value without quotes ends before the next name.
_BARE: Final = re.compile(
    r"""(?P<bare>(?![,;]?\s*[\w.-]+\s*[:=][^/]|\\[rn])[^\r\n&<>"'{}\[\]\\]"""
    r"""(?:(?!(?:[,;]\s*|(?<!\s)\s+|(?<![\w.-]))[\w.-]+["']?\s*[:=][^/]|\\[rn])[^\r\n&<>"'{}\[\]\\])*)"""
)
_SYNTAXES: Final = (
    # multipart: name="email" ⏎ further headers ⏎⏎ value ⏎--
    _Syntax(
        re.compile(
            rf"""\\*"(?:;[^\r\n]{{0,500}}?)?(?:{_LINE_END}(?:[\w-]+:[^\r\n\\]*{_LINE_END})*{_LINE_END}|\s{{2,}}(?![:=,]))"""
        ),
        re.compile(r"(?P<part>.*?)(?=(?:\r?\n|(?<!\\)(?:\\+r)?\\+n)-|\s--|\Z)", re.DOTALL),
    ),
    # XML: <email lang="en">value</email>
    _Syntax(
        re.compile(r"(?:\s[^<>]{0,500})?(?<!/)>(?:\s*<!\[CDATA\[)?"), re.compile(r"(?P<element>[^<]*?)(?=\]\]>|<|\Z)")
    ),
    # PHP: s:5:"email";s:15:"value"
    _Syntax(re.compile(r'\\*";s:[0-9]+:'), _LITERAL),
    # "email": "value", 'email' => 'value', ("email", "value"), email: 'value'
    _Syntax(re.compile(r"""\\*["']\s*(?:=>|[:=,])\s*|\\*["']?\]?\s*(?:=>|[:=])\s*"""), _LITERAL),
    # email: value, "age": 7
    _Syntax(re.compile(r"""\\*["']\]?\s*(?:=>|[:=])\s*|\]?\s*(?:=>|[:=])[ \t]*"""), _BARE),
)

#: What opens a group of values behind a name: 'phones': [, "phone": {, phone: {, 'phone' => array (, s:5:"phone";a:1:{
_GROUP: Final = re.compile(
    r"""(?:\\*["']\]?|(?=\s*:\s*[\[{]))(?:\s*(?:=>|[:=])\s*(?:array\s*)?|;[aO]:[^{}"']{1,20}(?:"[^"]{0,200}":[0-9]+:)?)([\[{(])"""
)
_BRACKETS: Final = {"[": re.compile(r"[\[\]]"), "{": re.compile("[{}]"), "(": re.compile("[()]")}
#: The longest prefix of an element's name, with its colon.
_LONGEST_PREFIX: Final = 50
#: The beginning of an element that holds others: <phone><number>..
_ELEMENT: Final = re.compile(r"(?:\s[^<>]{0,500})?(?<!/)>\s*(?=<[^/!])")

#: Every separator of a syntax contains one of these.
_SEPARATOR: Final = re.compile("""["'>:=]""")


class _Hider(Protocol):
    """What hides a value: the trait of a name, and the placeholder of a value."""

    def trait(self, name: str) -> str | None: ...

    def hidden_value(self, trait: str, text: str) -> str: ...


def is_structured(text: str) -> bool:
    """Returns whether a text that is neither JSON nor a form looks like XML, multipart form data or a literal.

    Examples:
        >>> [is_structured(text) for text in ("<a>1</a>", "{'a': 1}", '{"a": "b', "[x] of 7", "{clickid}", "a=b")]
        [True, True, True, False, False, False]
    """
    return bool(_STRUCTURED.match(text))


def hide_named(text: str, hider: _Hider) -> str:
    """Replaces what follows each personal name of a text."""
    if not _SEPARATOR.search(text):
        return text
    parts, place = [], 0
    for name in _NAME.finditer(text):
        trait = hider.trait(name[0]) if name.start() >= place else None
        found = (_group_behind(text, name) or _value_behind(text, name.end())) if trait else None
        if trait and found and found[1] > found[0]:
            start, end = found
            attributes = hide_named(text[name.end() : start], hider)
            parts += [text[place : name.end()], attributes, hider.hidden_value(trait, _unescaped(text[start:end]))]
            place = end
    return "".join([*parts, text[place:]])


def _group_behind(text: str, name: re.Match[str]) -> tuple[int, int] | None:
    """Returns the span of what stands between the brackets or tags of a name, which the text's end may close."""
    tag = text[max(0, name.start() - _LONGEST_PREFIX) : name.start()].rpartition("<")
    is_tag = tag[1] and (not tag[2] or tag[2].endswith(":")) and "/" not in tag[2]
    if is_tag and (element := _ELEMENT.match(text, name.end())):
        end = text.find(f"{name[0]}>", element.end())
        return element.end(), text.rfind("<", element.end(), end) if end >= 0 else len(text)
    opened = _GROUP.match(text, name.end())
    if not opened:
        return None
    depth = 1
    for bracket in _BRACKETS[opened[1]].finditer(text, opened.end()):
        depth += 1 if bracket[0] == opened[1] else -1
        if not depth:
            return opened.end(), bracket.start()
    return opened.end(), len(text)


def _value_behind(text: str, place: int) -> tuple[int, int] | None:
    """Returns the span of the value that follows a name which ends at a place."""
    for syntax in _SYNTAXES:
        separator = syntax.separator.match(text, place)
        value = separator and syntax.value.match(text, separator.end())
        if value and value.lastgroup:
            return value.span(value.lastgroup)
    return None


def _unescaped(text: str) -> str:
    """Returns a literal without its escapes, if they are those of JSON."""
    if "\\" not in text:
        return text
    try:
        return str(parsed(f'"{text}"'))
    except json_codec.JsonError:
        return text
