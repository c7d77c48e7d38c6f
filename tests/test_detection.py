"""What an input is, by a majority of its records; too few of them in that format refuse it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import etl
from etl.errors import FormatError
from etl.sources.detection import detect
from etl.sources.format import DOCUMENTS, HEADED, LINES, MESSAGES, TABLE_ROWS, Settings
from tests import commands

LOG = '192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=c{} HTTP/1.1" 200 2 "-" "-"\n'
PAYLOAD = '{{"click_id": "c{}", "value": 1}}\n'
JUNK = "jane@example.com was here {}\n"


def lines(text: str, count: int) -> str:
    return "".join(text.format(i) for i in range(count))


FOUND: dict[str, tuple[str, str, str]] = {
    "a log whose first lines are of something else": (lines(JUNK, 3) + lines(LOG, 20), "combined", LINES),
    "a log that begins with blank lines and comments": ("\n# a comment\n" + lines(LOG, 2), "combined", LINES),
    "common lines with one that is combined": (lines(LOG, 1) + lines(LOG.replace(' "-" "-"', ""), 3), "common", LINES),
    "JSON lines, one of them broken": (lines(PAYLOAD, 5) + '{"click_id": \n' + lines(PAYLOAD, 5), "jsonl", LINES),
    "JSON lines after a byte order mark": ("\ufeff" + lines(PAYLOAD, 2), "jsonl", LINES),
    "an array on one line": (json.dumps([{"click_id": "a"}, {"click_id": "b"}]), "json", DOCUMENTS),
    "one pretty object": (json.dumps({"click_id": "a"}, indent=2), "json", DOCUMENTS),
    "an array of log records": (
        json.dumps([{"ClientRequestURI": "/a", "ClientRequestMethod": "GET", "EdgeStartTimestamp": 1714564800}]),
        "cloudflare_logpush",
        DOCUMENTS,
    ),
    "messages that carry several records": (
        lines('{{"Records":[{{"messageId":"1","receiptHandle":"r","body":"click_id=a{}"}}]}}\n', 3),
        "plain_text",
        MESSAGES,
    ),
    "events of another kind than requests, beside some requests": (
        lines('{{"level":"info","ts":1714564800.5,"logger":"tls","msg":"x"}}\n', 9)
        + '{"level":"info","ts":1714564800.5,"logger":"http.log.access","request":{"method":"GET","uri":"/a"},"status":200}\n',
        "caddy",
        LINES,
    ),
    "a header after comments": (
        "#Software: x\n#Fields: date time cs-method cs-uri-stem c-ip\n2024-05-01 12:00:00 GET / 192.0.2.7\n",
        "iis",
        HEADED,
    ),
    "a table with one row": ("click_id,value\na,1\n", "csv", TABLE_ROWS),
    "nothing": ("", "combined", LINES),
}


@pytest.mark.parametrize(("text", "name", "framing"), FOUND.values(), ids=FOUND)
def test_it_is_found(text: str, name: str, framing: str) -> None:
    found = detect((text.encode(),), "input", Settings())
    assert (found.row.name, found.framing) == (name, framing)


def test_samples_further_on_count_without_the_lines_they_cut() -> None:
    later = (lines(LOG, 40) + LOG[:30]).encode()
    assert detect((JUNK.encode() * 20, b"cut" + later), "input", Settings()).row.name == "combined"


def test_prose_is_in_no_format() -> None:
    with pytest.raises(FormatError, match="in no known format"):
        detect((b"Dear reader,\nthis is a letter.\n",), "input", Settings())


def run(text: str, folder: Path, **options: Any) -> dict[str, Any]:
    (folder / "input").write_text(text, encoding="utf-8")
    return etl.run([folder / "input"], folder / "out", **options)


def test_an_input_of_which_too_little_is_in_its_format_is_refused_and_shown(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as refused:
        run(lines(LOG, 40) + lines(JUNK, 6), tmp_path)
    what, hint = str(refused.value).splitlines()
    assert "was read as combined, but only 40 of 46 records match that format" in what
    assert "record 41 " in what
    assert "record 43 " in what
    assert "jane@" not in what
    assert "--min-matched 86%" in hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (lines(LOG, 40) + lines(JUNK, 6), {"min_matched": 0.86}),
        (lines(LOG, 40) + lines(JUNK, 6), {"format": "combined"}),
        (lines(LOG, 8) + lines(JUNK, 5), {}),
        (lines(LOG, 60) + lines(JUNK, 6), {}),
        ("\n" * 50 + "# x\n" * 50 + lines(LOG, 9), {"min_matched": 1}),
    ],
    ids=["as much is allowed", "the format is said", "a few of a few", "nine tenths are", "blanks and comments"],
)
def test_an_input_of_which_enough_is_in_its_format_is_read(text: str, options: dict[str, Any], tmp_path: Path) -> None:
    summary = run(text, tmp_path, **options)
    assert summary["rejections"]["by_reason"].get("malformed_record", 0) == text.count("was here")


@pytest.mark.parametrize(
    ("text", "options", "time"),
    [
        (lines(LOG, 1), {}, "zoned"),
        (lines(PAYLOAD, 1), {}, "none"),
        ("click_id=a\n", {}, "UTC where no zone is written"),
        ("id,payload\n1,click_id=a\n", {}, "none"),
        (
            "id,created,payload\n1,2024-05-01 12:00:00,click_id=a\n",
            {"timezone": "Asia/Tokyo"},
            "Asia/Tokyo where no zone is written",
        ),
    ],
)
def test_the_summary_says_how_times_were_read(text: str, options: dict[str, Any], time: str, tmp_path: Path) -> None:
    assert run(text, tmp_path, **options)["inputs"][0]["time"] == time


def test_the_terminal_shows_what_was_decided_for_each_input(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,created,payload\n1,2024-05-01 12:00:00,click_id=a\n", encoding="utf-8")
    (tmp_path / "b.log").write_text(
        '192.0.2.7 - - [01/May/2024:12:00:00 +0000] "POST /a/collect/b HTTP/1.1" 200 2\n', encoding="utf-8"
    )
    shown = commands.run("run", "a.csv", "b.log", "--out", "out", cwd=tmp_path).stderr.decode()
    assert "  a.csv: csv, 2 records\n    columns: payload=payload, received_at=created\n" in shown
    assert "    times read as UTC where no zone is written\n" in shown
    assert "  b.log: common, 1 record\n" in shown
    assert "warning: 1 POST request, 50.0% of the postbacks, was logged without a body." in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--min-matched", "x"], "not a share"),
        (["--min-matched", "110%"], "not a share"),
        (["--columns", "payload"], "not a list of role=name"),
        (["--columns", "colour=x"], "is not a known role"),
        (["--log-timezone", "Mars/Base"], "not a known time zone"),
        (["--formats", "nowhere.toml"], "cannot be read"),
    ],
)
def test_a_wrong_option_is_a_usage_error(arguments: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(lines(LOG, 1), encoding="utf-8")
    finished = commands.run("run", "a.log", "--out", "out", *arguments, code=2, cwd=tmp_path)
    assert (words in finished.stderr.decode(), finished.stdout) == (True, b""), finished.stderr
