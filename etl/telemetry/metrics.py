"""Writes the last execution of a command as a file of metrics, in Prometheus' text format for its node exporter.

Each metric is a row of `METRICS`. All have the labels `command` and `target`, so that files of several jobs do not
collide.
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
    """A gauge.

    Attributes:
        name: Its name without the prefix.
        meaning: Its help text.
        of: Returns its value, or its values by label; None leaves the metric out.
        label: Name of the label, for values by label.
    """

    name: str
    meaning: str
    of: Callable[[Attempt], float | Mapping[str, Any] | None]
    label: str | None = None


def _count_of(name: str) -> Callable[[Attempt], float | None]:
    """Returns a function that reads a count from the outcome of an attempt."""
    return lambda run: (run.outcome or {}).get(name)


def _by_reason(what: str, known: list[str]) -> Callable[[Attempt], Mapping[str, int] | None]:
    """Returns a function that reads counts by reason; known reasons without records count 0."""
    return lambda run: dict.fromkeys(known, 0) | counts_of(run.outcome, what) if run.outcome else None


def _value_by_currency(run: Attempt) -> Mapping[str, str] | None:
    """Returns the value by currency, for active currencies only: senders can invent any number of others."""
    if not run.outcome:
        return None
    known = active_currencies() | {""}
    return {code: text for code, text in run.outcome["value_total"].items() if code in known}


def _by_integration(figure: str) -> Callable[[Attempt], Mapping[str, float] | None]:
    """Returns a function that reads a figure of what `--expect` compares, by integration; of a backfill, the last."""

    def read(run: Attempt) -> Mapping[str, float] | None:
        compared = (run.outcome or {}).get("expected") or ()
        return {f"{one['account_id'] or ''}/{one['integration']}": one[figure] for one in compared} or None

    return read


_REJECTED: Final = _by_reason("rejections", [row.code for row in REJECTIONS])
_SKIPPED: Final = _by_reason("skipped", [row.code for row in SKIPS])

METRICS: Final = (
    Metric("last_run_timestamp_seconds", "When the last run ended.", lambda run: run.ended_at),
    Metric("last_run_duration_seconds", "How long the last run took.", lambda run: run.seconds),
    Metric("last_run_success", "1 if the last run succeeded, 0 if it failed.", lambda run: int(run.is_success)),
    Metric("last_run_exit_code", "The exit code of the last run.", lambda run: run.exit_code),
    Metric("last_run_peak_memory_bytes", "Peak memory of the last run.", lambda run: run.peak_memory_bytes),
    Metric(
        "last_run_inputs", "Inputs of the last run.", lambda run: len(run.outcome["inputs"]) if run.outcome else None
    ),
    Metric("last_run_records", "Records the last run read.", _count_of("records")),
    Metric("last_run_conversions", "Conversions the last run wrote.", _count_of("conversions")),
    Metric("last_run_rejections", "Records the last run rejected, by reason.", _REJECTED, "reason"),
    Metric("last_run_skipped", "Records the last run skipped, by reason.", _SKIPPED, "reason"),
    Metric(
        "last_run_value",
        "Sum of the values of its conversions, by active ISO 4217 currency.",
        _value_by_currency,
        "currency",
    ),
    Metric("last_run_demoted", "Earlier conversions that the last run made duplicates.", _count_of("demoted")),
    Metric("last_run_promoted", "Earlier duplicates that the last run made conversions.", _count_of("promoted")),
    Metric(
        "last_run_postbacks",
        "Postbacks of the period of the last load, by integration, with --expect.",
        _by_integration("postbacks"),
        "integration",
    ),
    Metric(
        "last_run_postbacks_expected",
        "Their median on the same weekdays before, by integration, with --expect.",
        _by_integration("expected"),
        "integration",
    ),
    Metric("last_run_days", "Days of the last backfill.", _count_of("days")),
    Metric("last_run_days_failed", "Days of the last backfill that failed.", _count_of("days_failed")),
    Metric(_LAST_SUCCESS, "When the last successful run ended.", lambda run: run.last_success_at),
)


def check_metrics(path: Path) -> None:
    """Checks before a run that its metrics can be written.

    Raises:
        UsageError: The folder does not exist, or the Prometheus client is not installed.
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
    """Replaces the file of metrics by the metrics of an attempt, in one step.

    Counts are written only if something was published. A failed attempt keeps the time of the last success.

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
    """Returns pairs of label values and number."""
    if isinstance(value, Mapping):
        return [((label,), float(number)) for label, number in value.items()]
    return [((), float(value))]


def _last_success(path: Path, labels: dict[str, str]) -> float | None:
    """Reads the time of the last success from the file of metrics; None if there is none."""
    from prometheus_client.parser import text_string_to_metric_families

    with suppress(OSError, ValueError):
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
            for sample in family.samples:
                if sample.name == PREFIX + _LAST_SUCCESS and sample.labels == labels:
                    return sample.value
    return None
