"""Every option of a run, each once: its field, its default, and how the command line spells it.

The Python API takes these fields as keyword arguments. `cli.options` makes the flags, their help and the readers of
their texts from the same table. All of this is plain data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from etl.errors import UsageError

if TYPE_CHECKING:
    from etl.rules.ruleset import Ruleset

Pii = Literal["hash", "keep", "drop"]

#: What happens if an input is in no known format.
Unknown = Literal["skip", "fail"]

PII_MODES: Final[tuple[Pii, ...]] = ("hash", "keep", "drop")

#: Longer records are rejected.
DEFAULT_MAX_RECORD_BYTES: Final = 4 * 2**20


class Flag(NamedTuple):
    """How the command line spells an option.

    Attributes:
        name: The flag, such as `--log-timezone`.
        metavar: What its help calls the value; None: the choices are shown.
        help: One sentence.
        kind: Of the text as typed: any text, several texts, a path, a count from 1, a mode of `PII_MODES`, or a mode of
            `Unknown`.
        default: The default as typed, which the help shows; None: the option may be left out.
    """

    name: str
    metavar: str | None
    help: str
    kind: Literal["text", "texts", "path", "count", "pii", "unknown"] = "text"
    default: Any = None


def _spelled(name: str, metavar: str | None, text: str, **more: Any) -> dict[str, Flag]:
    """The metadata of a field: its flag."""
    return {"flag": Flag(name, metavar, text, **more)}


def instant_of(name: str, given: object) -> datetime | None:
    """Returns the instant that an option names: a time, a day, or the text of one; without a zone it is UTC.

    Raises:
        UsageError: The text is not a time.
    """
    if given is None or given == "":
        return None
    if isinstance(given, datetime):
        return given if given.tzinfo else given.replace(tzinfo=UTC)
    if isinstance(given, date):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    from etl.rules.value_parsing import read_iso8601  # imports polars

    instant = read_iso8601(str(given))
    if instant is None:
        raise UsageError(
            f"{name} {given!r} is not a time.",
            "Give 2024-05-01 or 2024-05-01T12:00:00+02:00; without a zone it is UTC.",
        )
    return instant


@dataclass(frozen=True)
class Options:
    """Options of `pipeline.transform`.

    Attributes:
        default_currency: The property's default currency, three letters, for conversions that send none.
        account: Account of records whose request has no path (bare payloads).
        integration: Integration of records whose request has no path.
        pii: What happens to personal values: `hash`, `keep` or `drop` (rules 9.1).
        since: Only requests received at or after this instant.
        until: Only requests received before this instant.
        statuses: Only requests answered with one of these HTTP statuses; empty means all (rules 1.1).
    """

    default_currency: str | None = field(
        default=None, metadata=_spelled("--default-currency", "CODE", "Currency of conversions that send none.")
    )
    account: str | None = field(
        default=None, metadata=_spelled("--account", "ID", "Account of payloads without a path.")
    )
    integration: str | None = field(
        default=None, metadata=_spelled("--integration", "SLUG", "Integration of payloads without a path.")
    )
    pii: Pii = field(
        default="hash", metadata=_spelled("--pii", None, "What happens to personal values.", kind="pii", default="hash")
    )
    since: datetime | None = field(
        default=None, metadata=_spelled("--since", "TIME", "Only requests received at or after this time.")
    )
    until: datetime | None = field(
        default=None, metadata=_spelled("--until", "TIME", "Only requests received before this time.")
    )
    statuses: tuple[range, ...] = field(
        default=(), metadata=_spelled("--status", "CODES", "Only requests answered with these statuses: 2xx,304.")
    )

    def __post_init__(self) -> None:
        """Reads times that are given as texts, days or without a zone.

        Raises:
            UsageError: A text is not a time, or there is no such mode of `pii`.
        """
        for name in ("since", "until"):
            object.__setattr__(self, name, instant_of(name, getattr(self, name)))
        if self.pii not in PII_MODES:
            raise UsageError(f"pii {self.pii!r} is unknown.", f"Give one of {', '.join(PII_MODES)}.")

    def given(self) -> dict[str, str]:
        """Returns the options that differ from their defaults, by flag, as a person reads them.

        Examples:
            >>> Options(default_currency="EUR", since="2024-05-01", statuses=(range(200, 300),)).given()
            {'--default-currency': 'EUR', '--since': '2024-05-01T00:00:00+00:00', '--status': '200-299'}
        """
        values = ((item.metadata["flag"].name, getattr(self, item.name), item.default) for item in fields(Options))
        return {flag: _as_text(value) for flag, value, default in values if value != default}


def _as_text(value: object) -> str:
    """Formats the value of an option."""
    if isinstance(value, tuple):
        return ",".join(f"{codes[0]}-{codes[-1]}" if len(codes) > 1 else str(codes[0]) for codes in value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


@dataclass(frozen=True)
class InputOptions:
    """Options of reading inputs.

    Attributes:
        format: The name of a format, or `auto`.
        log_format: An nginx `log_format` or Apache `LogFormat`.
        timezone: IANA name of the zone of times that have none.
        collect_path: Template of a postback's path, instead of the ruleset's (rules 1.1).
        columns: What columns of tables and keys of JSON hold: `{"payload": "body", "received_at": "created"}`. The role
            `record` names a column of whole records. A time may have a layout: `{"received_at": "Time:%d.%m.%Y"}`.
        formats: A TOML file with the user's own formats.
    """

    format: str = field(
        default="auto",
        metadata=_spelled("--format", "NAME", "Format of the inputs; detected by default.", default="auto"),
    )
    log_format: str | None = field(
        default=None, metadata=_spelled("--log-format", "STRING", "An nginx log_format or Apache LogFormat.")
    )
    timezone: str = field(
        default="UTC", metadata=_spelled("--log-timezone", "ZONE", "Zone of times that have none.", default="UTC")
    )
    collect_path: str | None = field(
        default=None,
        metadata=_spelled(
            "--collect-path", "PATH", "Path of postbacks, such as /pb/{integration}, instead of the ruleset's."
        ),
    )
    columns: Mapping[str, str] = field(
        default_factory=dict,
        metadata=_spelled(
            "--columns", "ROLE=NAME", "Role of a column or key, such as record=message; repeatable.", kind="texts"
        ),
    )
    formats: str | None = field(
        default=None, metadata=_spelled("--formats", "FILE", "Your own formats, as TOML.", kind="path")
    )


@dataclass(frozen=True)
class RunOptions(Options, InputOptions):
    """Options of a run, a load or a backfill, beside their inputs and destination.

    Attributes:
        ruleset: The rules; None: the endpoint's page.
        unknown: What happens if an input is in no known format: `skip` or `fail`. None: `fail` for an input that is
            named; `skip` for one that is found in a folder, an archive or by a pattern, and for named ones if most are
            read.
        min_matched: The least share of an input's records that must be in its format, from 0 to 1.
        max_record_bytes: Longer records are rejected.
        jobs: Processes to work in.
        tmp: Folder of temporary files; None: beside the destination, and where the system keeps them.
        max_memory: Bytes of memory to use: fewer processes work if they would need more. None: no limit.
    """

    ruleset: Ruleset | None = field(
        default=None,
        metadata=_spelled("--ruleset", "NAME|FILE", "A shop's ruleset, such as shopify, or your own as TOML."),
    )
    unknown: Unknown | None = field(
        default=None,
        metadata=_spelled(
            "--unknown",
            None,
            "Inputs in no known format; by default, named ones fail, and those found in a folder are skipped.",
            kind="unknown",
        ),
    )
    min_matched: float | None = field(
        default=None,
        metadata=_spelled("--min-matched", "P%", "Refuse an input if fewer of its records are in its format."),
    )
    max_record_bytes: int = field(
        default=DEFAULT_MAX_RECORD_BYTES,
        metadata=_spelled("--max-record", "SIZE", "Longest record that is read.", default="4MB"),
    )
    jobs: int = field(default=1, metadata=_spelled("--jobs", "N", "Processes; one a core by default.", kind="count"))
    tmp: str | None = field(default=None, metadata=_spelled("--tmp", "DIR", "Folder of temporary files.", kind="path"))
    max_memory: int | None = field(
        default=None, metadata=_spelled("--max-memory", "SIZE", "Memory to use, from 500MB on: fewer processes.")
    )

    @property
    def transform_options(self) -> Options:
        """Those that decide what a record becomes."""
        return Options(**{item.name: getattr(self, item.name) for item in fields(Options)})


#: The flag of each field of `RunOptions`, in the order of the help.
FLAGS: Final[dict[str, Flag]] = {item.name: item.metadata["flag"] for item in fields(RunOptions)}
