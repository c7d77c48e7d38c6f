"""No text of a stranger takes more time than its length warrants."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from etl.errors import UnknownInputError
from etl.privacy.addresses import hide_text
from etl.privacy.broken_texts import is_structured
from etl.privacy.redaction import redact_raws
from etl.rules.body_faults import read_body
from etl.rules.lost_separators import find_swallowed
from etl.rules.parameter_names import _kept_meaning, meaning_of
from etl.rules.ruleset import Ruleset
from etl.sources.planning import ReadOptions, find_format, plan_splits
from etl.sources.readers.logged_bodies import logged_body
from etl.sources.splits import read_split
from etl.sources.storage.inputs import Input
from etl.sources.storage.surveys import survey
from etl.steps.pipeline import transform
from tests.effort import IS_THOROUGH, draws
from tests.growth import growth, runs
from tests.patterns import Found, hard_texts, patterns, search
from tests.requests import requests_of

#: Sizes of a quarter of the longest run: an exponential search shows at the first, a quadratic at the last.
_SIZES = (6, 128, 1_024, 4_096) if IS_THOROUGH else (6, 128, 2_048)

#: Patterns that a stranger's text does not reach, or not in its length.
_EXEMPT = {
    "etl.sources.formats.log_format._APACHE": "reads --log-format",
    "etl.sources.formats.log_format._LAYOUT": "reads --log-format",
    "etl.sources.formats.log_format._QUOTED": "reads --log-format",
    "etl.sources.readers.access_log._SENDER": "looks at 512 bytes",
    "etl.sources.readers.logged_bodies._RAW": "matches wherever it is tried",
    "etl.sources.readers.second_records._TOKEN": "reads the pattern of a format",
}

PATTERNS = [one for one in patterns() if one.place not in _EXEMPT]


def slow_search(found: Found) -> str | None:
    """The first text on which a search takes too long."""
    source = found.pattern if isinstance(found.pattern, str) else found.pattern.pattern
    for hard in hard_texts(source.decode("latin-1") if isinstance(source, bytes) else source):
        alphabet = [*dict.fromkeys((*hard.alphabet, "x"))][: 10 if IS_THOROUGH else 5]
        singles = [(unit, end) for unit in alphabet for end in ("\n\x00", *(alphabet if IS_THOROUGH else ()))]
        pairs = [(unit, "\n\x00") for unit in runs(alphabet, pairs=True)] if IS_THOROUGH else []
        for unit, end in (*singles, *pairs, *((text, "\n") for text in hard.texts if text)):

            def work(size: int, unit: str = unit, before: str = hard.before, end: str = end) -> Callable[[], object]:
                return search(found, before + unit * (size // len(unit)) + end)

            if told := growth(work, *_SIZES):
                return f"{hard.before!r} + {unit!r} + {end!r}: {told}"
    return None


def test_the_patterns_are_found() -> None:
    methods = Counter(one.method for one in PATTERNS)
    assert methods["match"] + methods["fullmatch"] > 120
    assert methods["finditer"] > 50
    assert methods["contains"] + methods["extract"] > 20


def test_a_quadratic_pattern_is_found_out() -> None:
    assert slow_search(Found("", re.compile(r"[\w.]+@example"), "finditer"))
    assert not slow_search(Found("", re.compile(r"(?<!\w)[\w.]{1,64}@example"), "finditer"))


@pytest.mark.parametrize("found", PATTERNS, ids=lambda found: f"{found.place} {found.method}")
def test_a_search_takes_time_in_proportion_to_the_text(found: Found) -> None:
    assert slow_search(found) is None


def _redacted(raw: str, *, is_unread: bool = False) -> object:
    return redact_raws(pl.Series([raw]), "hash", Ruleset(), is_unread=pl.Series([is_unread]))


_LOG = '192.0.2.1 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?{} HTTP/1.1" 200 2 "-" "test"'

#: What reads, classifies or redacts a text of a stranger.
READERS: dict[str, Callable[[str], object]] = {
    "a query is redacted": lambda text: _redacted(_LOG.format(text)),
    "a body is redacted": lambda text: _redacted(json.dumps({"click_id": "a", "note": text, "email": text})),
    "a line is redacted": _redacted,
    "a broken text is redacted": lambda text: _redacted("{" + text, is_unread=True),
    "a value is redacted": lambda text: hide_text(text, "hash"),
    "a text is classified": is_structured,
    "a body is read": read_body,
    "a separator is sought": lambda text: find_swallowed(text, Ruleset()),
    "a name is looked up": lambda text: meaning_of(text, Ruleset()),
    "a body is sought in a line": lambda text: logged_body(f'"{text}}}"'.encode()),
}

_LINE = _LOG + "\n"

#: Records of many parts, by the number of their parts.
RECORDS: dict[str, Callable[[int], str]] = {
    "parameters": lambda count: "&".join(f"p{number}=1" for number in range(count)),
    "repetitions of a name": lambda count: "&".join(f"click_id={number}" for number in range(count)),
    "passthroughs": lambda count: "&".join(f"xat_{number}=1" for number in range(count)),
    "items": lambda count: "&".join(f"items[{number}][id]=1" for number in range(count)),
    "items without a place": lambda count: "&".join(f"items[][{number}]=1" for number in range(count)),
    "long names": lambda count: "&".join(f"n{number}" * count for number in range(4)),
    "empty parameters": lambda count: "&" * count,
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_takes_time_in_proportion_to_its_parts(name: str, tmp_path: Path) -> None:
    def work(count: int) -> Callable[[], object]:
        (requests,) = requests_of(_LINE.format("click_id=a&" + RECORDS[name](count)).encode(), tmp_path, "combined")
        return lambda: (_kept_meaning.cache_clear(), transform(requests))

    assert growth(work, draws(2_000, 8_000)) is None


#: Units that begin what readers look for; each is repeated, and each is followed by each other.
_UNITS = (
    *(
        "a",
        "%40",
        "%25",
        "@",
        "a@",
        "a.",
        "\\",
        '\\"',
        "\\x22",
        '"',
        '] "',
        "{",
        '{"',
        "[",
        "[{",
        "<",
        "<a ",
        "a=",
        "&",
        "?",
    ),
    *(
        "email=",
        "email ",
        '"email":',
        "'email': '",
        "email[",
        "; ",
        ": ",
        ":",
        "0",
        "1.",
        "%",
        "\n",
        "\r\n-",
        " ",
        "\u00e9",
    ),
    *("https://", "/a/collect/b", "amp;", "+1 ", "QUJD", "--", 'email";', "email\\n", "<email>", "(", "192.0.2.1 "),
)


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_time_in_proportion_to_the_text(name: str) -> None:
    pairs = [left + right for left in _UNITS for right in _UNITS if left != right]
    units = [*_UNITS, *(pairs[::7] if IS_THOROUGH else ())]  # each unit is before and behind some others
    slow = []
    for unit in units:

        def work(size: int, unit: str = unit) -> Callable[[], object]:
            text = unit * (size // len(unit))
            return lambda: READERS[name](text)

        if told := growth(work, 4_096 if IS_THOROUGH else 2_048):
            slow.append(f"{unit!r}: {told}")
    assert slow == []


#: Files that are read whole, from which one unit is repeated: what stands before it and behind it.
FILES: dict[str, tuple[str, str]] = {
    "an array": ('[{"click_id": "a"}, ', "]"),
    "texts of an array": ('[{"click_id": "', '"}]'),
    "objects over several lines": ('{\n"click_id": "a"}\n{\n"a": ', "}\n"),
    "a container": ('{"log": {"entries": [{"request": {"method": "GET", "url": "https://example.com/"}}, ', "]}}"),
    "rows of a table": ("click_id,event_value\n", "\n"),
    "a quoted cell of a table": ('click_id\tevent_value\na\t"', '"\n'),
    "the header of a table": ("click_id,", "\na,1\n"),
    "rows of a dump": ("COPY public.hits (id, query) FROM stdin;\n1\tclick_id=a\n", "\n\\.\n"),
    "lines below a header": ("#Fields: date time cs-uri-stem cs-uri-query c-ip\n", "\n"),
    "the header of lines": ("#Fields: date time cs-uri-stem ", "\n2024-05-01 12:00:00 /a/collect/b click_id=a\n"),
    "dated blocks": ('2024-05-01 12:00:00 {\n"click_id": "a"\n}\n2024-05-01 12:00:01 {', "}\n"),
}

#: What cuts such files into records and cells.
_CUTS = (
    ",",
    '""',
    "[",
    "{",
    "0",
    "\n",
    "a",
    "&",
    "\\",
    "\t",
    ";",
    "]",
    "}",
    "},{",
    '","',
    '"\n',
    "\\N\t",
    "\r",
    "#Fields: ",
    "2024-05-01 12:00:00 ",
)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_read_whole_takes_time_in_proportion_to_its_length(name: str, tmp_path: Path) -> None:
    before, behind = FILES[name]
    slow = []
    for unit in _CUTS if IS_THOROUGH else _CUTS[:6]:

        def work(size: int, unit: str = unit) -> Callable[[], object]:
            path = tmp_path / "input"
            path.write_text(before + unit * (size // len(unit)) + behind, encoding="utf-8")
            return lambda: rows_of(path)

        if told := growth(work, 4_096 if IS_THOROUGH else 1_024):
            slow.append(f"{unit!r}: {told}")
    assert slow == []


def rows_of(path: Path) -> list[int]:
    """The numbers of records of the batches of an input, whatever it is; none if it is in no known format."""
    item, reading = Input("input", path), ReadOptions()
    surveyed = survey(path, "input", 1 << 30)
    try:
        found = find_format(item, surveyed.codec, surveyed.samples, reading)
    except UnknownInputError:
        return []
    return [rows.height for split in plan_splits(item, surveyed, found, reading) for rows, _ in read_split(split)]
