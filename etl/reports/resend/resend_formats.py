"""Writes a plan of a second sending as a file: addresses, JSON lines, a script of curl commands, or a table.

Nothing that a stranger wrote is obeyed: addresses are percent-encoded, commands quoted, and no cell of a table is a
formula.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from etl.errors import OutputError, UsageError, choices
from etl.reports.resend.corrected_postbacks import query_of
from etl.reports.resend.resends import Resend, ResendPlan

#: Where the postbacks are sent, if the user does not say where: a name that is reserved for examples.
PLACEHOLDER: Final = "https://example.com"

_BASE_URL: Final = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?")
_COUNTS_TWICE: Final = "without a transaction_id that makes it harmless: each sending counts"
#: What a spreadsheet takes for a formula.
_FORMULA: Final = re.compile(r"[=+\-@\t\r]")


class ResendFormat(NamedTuple):
    """A format: its name, what it is for, the suffix of its files, and what writes its lines."""

    name: str
    what: str
    suffix: str
    lines: Callable[[Iterable[Resend], str], Iterator[str]]


def _commented(resends: Iterable[Resend], base: str, prefix: str, quote: Callable[[str], str]) -> Iterator[str]:
    """Yields two lines for each postback: a comment with the tool's own words, and its address."""
    for one in resends:
        taken = f"still taken by {', '.join(one.still_taken_by)}" if one.still_taken_by else "taken by no platform"
        doubt = "" if one.is_harmless else f"; {_COUNTS_TWICE}"
        yield f"# {one.record_id}: {', '.join(one.findings)}; {taken}{doubt}"
        yield prefix + quote(_url(one, base))


def _urls(resends: Iterable[Resend], base: str) -> Iterator[str]:
    return _commented(resends, base, "", str)


def _curl(resends: Iterable[Resend], base: str) -> Iterator[str]:
    return _commented(resends, base, "curl --fail --silent --show-error --globoff ", shlex.quote)


def _json_lines(resends: Iterable[Resend], base: str) -> Iterator[str]:
    for one in resends:
        body: dict[str, Any] = dict(one.parameters)
        if "items" in body:
            body["items"] = orjson.loads(body["items"])
        envelope = {"method": "POST", "url": base + one.path, "body": body, "resend": _about(one)}
        yield orjson.dumps(envelope, option=orjson.OPT_UTC_Z).decode()


def _csv(resends: Iterable[Resend], base: str) -> Iterator[str]:
    for cells in (_COLUMNS, *(_cells(one, base) for one in resends)):
        line = io.StringIO()
        csv.writer(line).writerow(cells)
        yield line.getvalue().removesuffix("\r\n")


def _about(one: Resend) -> dict[str, Any]:
    """Returns what the file says of a postback, beside what is sent."""
    return {
        "record_id": one.record_id,
        "findings": one.findings,
        "event": one.row["event"],
        "transaction_id": one.row["transaction_id"],
        "occurred_at": one.row["occurred_at"],
        "is_harmless": one.is_harmless,
        "still_taken_by": one.still_taken_by,
    }


#: No column has the name of a time, a payload or a query, so that `run` reads `url` alone.
_SENT: Final = ("click_id", "ref_id", "transaction_id", "conversion_type", "event_name", "currency")
_COLUMNS: Final = ("record_id", "findings", *_SENT, "amount", "occurred_at", "is_harmless", "still_taken_by", "url")


def _cells(one: Resend, base: str) -> list[str]:
    occurred_at = one.row["occurred_at"]
    texts = [
        one.record_id,
        ", ".join(one.findings),
        *(one.parameters.get(name, "") for name in _SENT),
        one.parameters.get("value", ""),
        occurred_at.isoformat() if occurred_at else "",
        "yes" if one.is_harmless else "no",
        ", ".join(one.still_taken_by),
        _url(one, base),
    ]
    amount = len(_SENT) + 2
    return [f"'{text}" if place != amount and _FORMULA.match(text) else text for place, text in enumerate(texts)]


def _url(one: Resend, base: str) -> str:
    return f"{base}{one.path}?{query_of(one.parameters)}"


#: One row per format; the first is the default.
RESEND_FORMATS: Final = (
    ResendFormat("urls", "an address a line, with a comment before it", ".txt", _urls),
    ResendFormat("jsonl", "a POST request a line: url, body, and what the record is", ".jsonl", _json_lines),
    ResendFormat("curl", "a shell script of curl commands", ".sh", _curl),
    ResendFormat("csv", "a table for the uploads of trackers, with the address", ".csv", _csv),
)
_BY_NAME: Final = {row.name: row for row in RESEND_FORMATS}
_BY_SUFFIX: Final = {row.suffix: row for row in RESEND_FORMATS}


def find_resend_format(name: str | None, path: Path) -> ResendFormat:
    """Finds a format by its name, or by the suffix of a file.

    Raises:
        UsageError: There is no such format.
    """
    if name is not None and name not in _BY_NAME:
        raise UsageError(f"There is no format {name!r} to write.", choices(name, _BY_NAME, "The formats"))
    return _BY_NAME[name] if name else _BY_SUFFIX.get(path.suffix, RESEND_FORMATS[0])


def check_base_url(text: str) -> str:
    """Returns an address without its last slash.

    Raises:
        UsageError: The text is not an address of a host, perhaps with a path.
    """
    if not _BASE_URL.fullmatch(text):
        raise UsageError(f"--base-url {text!r} is not an address.", "Give one such as https://example.com.")
    return text.rstrip("/")


def write_plan(plan: ResendPlan, path: Path, form: ResendFormat, base: str) -> None:
    """Writes what is sent again, by atomic replacement of the file, which only its owner can read.

    Raises:
        OutputError: The file cannot be written.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.touch(mode=0o600)
        with staged.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in form.lines(plan.resends, base))
        staged.replace(path)
    except OSError as error:
        raise OutputError(f"--out {str(path)!r} cannot be written: {error.strerror}.", "Name another file.") from error
    finally:
        staged.unlink(missing_ok=True)
