"""The last run as a file of metrics, in the text format that Prometheus' node exporter collects.

Each metric is a row. All have the labels `command` and `target`, so that the files of several jobs do not collide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from etl.errors import UsageError
from etl.rules.page import REJECTIONS, SKIPS
from etl.rules.value_parsing import active_currencies
from etl.telemetry.attempts import Attempt, counts_of

PREFIX: Final = "postback_etl_"
_LAST_SUCCESS: Final = "last_success_timestamp_seconds"


class Metric(NamedTuple):
    """One gauge: its name, what it says, its value, or its values by label; it is left out where that is None."""

    name: str
    meaning: str
    of: Callable[[Attempt], float | Mapping[str, Any] | None]
    label: str | None = None


def _count(name: str) -> Callable[[Attempt], float | None]:
    return lambda run: (run.outcome or {}).get(name)


def _by_reason(what: str, known: list[str]) -> Callable[[Attempt], Mapping[str, int] | None]:
    return lambda run: dict.fromkeys(known, 0) | counts_of(run.outcome, what) if run.outcome else None


def _values(run: Attempt) -> Mapping[str, str] | None:
    """Only of currencies that there are: what senders make up would be labels without end."""
    known = active_currencies() | {""}
    return run.outcome and {code: text for code, text in run.outcome["value_total"].items() if code in known}


_REJECTED: Final = _by_reason("rejections", [row.code for row in REJECTIONS])
_SKIPPED: Final = _by_reason("skipped", [row.code for row in SKIPS])

METRICS: Final = (
    Metric("last_run_timestamp_seconds", "When the last run ended.", lambda run: run.ended_at),
    Metric("last_run_duration_seconds", "How long the last run took.", lambda run: run.seconds),
    Metric("last_run_success", "1 if the last run did its work, 0 if it failed.", lambda run: int(run.is_success)),
    Metric("last_run_exit_code", "The exit code of the last run.", lambda run: run.exit_code),
    Metric("last_run_peak_memory_bytes", "The most memory the last run held.", lambda run: run.peak_memory_bytes),
    Metric(
        "last_run_inputs", "Inputs of the last run.", lambda run: len(run.outcome["inputs"]) if run.outcome else None
    ),
    Metric("last_run_records", "Records the last run read.", _count("records")),
    Metric("last_run_conversions", "Conversions the last run wrote.", _count("conversions")),
    Metric("last_run_rejections", "Records the last run rejected, by reason.", _REJECTED, "reason"),
    Metric("last_run_skipped", "Records the last run skipped, by reason.", _SKIPPED, "reason"),
    Metric("last_run_value", "Sum of its conversions' values, by active ISO 4217 currency.", _values, "currency"),
    Metric("last_run_demoted", "Earlier conversions that the last run made duplicates.", _count("demoted")),
    Metric("last_run_promoted", "Earlier duplicates that the last run made conversions.", _count("promoted")),
    Metric("last_run_days", "Days of the last backfill.", _count("days")),
    Metric("last_run_days_failed", "Days of the last backfill that failed.", _count("days_failed")),
    Metric(_LAST_SUCCESS, "When the last run that did its work ended.", lambda run: run.last_success_at),
)


def check_metrics(path: Path) -> None:
    """Refuses what could not be written after a long run.

    Raises:
        UsageError: The folder is not there, or the library.
    """
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--metrics {str(path)!r} names a folder that does not exist.", "Make the folder first.")
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--metrics needs a library that is not installed.", "Run: pip install 'postback-etl[metrics]'"
        ) from error


def write_metrics(attempt: Attempt, path: Path) -> None:
    """Puts the metrics of an attempt in the place of the former ones, in one step.

    Counts are there only if something was published. When the last success was stays, whatever fails later.

    Raises:
        OSError: The file cannot be written.
    """
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    common = {"command": attempt.command, "target": attempt.target}
    last = attempt.ended_at if attempt.is_success else _last_success(path, common)
    registry = CollectorRegistry()
    for metric in METRICS:
        value = metric.of(attempt._replace(last_success_at=last))
        if value is not None:
            names = [*common, metric.label] if metric.label else [*common]
            gauge = Gauge(PREFIX + metric.name, metric.meaning, names, registry=registry)
            for labels, number in _series(value):
                gauge.labels(*common.values(), *labels).set(number)
    write_to_textfile(str(path), registry)


def _series(value: float | Mapping[str, Any]) -> list[tuple[tuple[str, ...], float]]:
    if isinstance(value, Mapping):
        return [((label,), float(number)) for label, number in value.items()]
    return [((), float(value))]


def _last_success(path: Path, labels: dict[str, str]) -> float | None:
    """What the file that is there says of it."""
    from prometheus_client.parser import text_string_to_metric_families

    with suppress(OSError, ValueError):
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
            for sample in family.samples:
                if sample.name == PREFIX + _LAST_SUCCESS and sample.labels == labels:
                    return sample.value
    return None
