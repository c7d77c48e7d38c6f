"""Opens sessions of Spark for a command, and refuses what no session can do."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from etl.engines.spark_cluster import Cluster, failure_of
from etl.errors import EtlError, UsageError
from etl.runner.engine import Engine, Meter, OpenEngine
from etl.sources.storage.inputs import STANDARD_INPUT, is_shared

_CONNECT_PORT: Final = 15002
_PATIENCE_SECONDS: Final = 10


def check_inputs(inputs: Sequence[str]) -> None:
    """Checks that no input is one that only this process can read.

    Raises:
        UsageError: An input is.
    """
    for name in inputs:
        if name == STANDARD_INPUT or not is_shared(Path(name).absolute()):
            raise UsageError(
                f"{name} can be read by this process alone, not by the workers of Spark.",
                "Write it to a file on storage that all workers read, or run with --engine local.",
            )


def _check_server(remote: str) -> None:
    """Checks that a server listens: a client of Connect would try for ten minutes.

    Raises:
        UsageError: Nothing listens, or the address is none.
    """
    hint = "Give an address such as sc://localhost:15002, and start the server first."
    try:
        place = urlsplit(remote)
        if place.scheme != "sc" or not place.hostname:
            raise UsageError(f"--spark-remote {remote!r} is no address of Spark Connect.", hint)
        socket.create_connection((place.hostname, place.port or _CONNECT_PORT), _PATIENCE_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UsageError(f"--spark-remote {remote!r} cannot be reached: {error}.", hint) from error


@contextmanager
def spark_session(master: str | None, remote: str | None) -> Iterator[OpenEngine]:
    """Yields what opens an engine on a session of Spark: one session, from its first use to the end of the context.

    Args:
        master: Where a classic session runs, such as `local[4]`; by default where `spark-submit` says.
        remote: The address of a server that speaks Spark Connect, such as `sc://localhost:15002`.
    """
    sessions: list[Any] = []

    @contextmanager
    def opened(_jobs: int, _meter: Meter) -> Iterator[Engine]:
        if not sessions:
            sessions.append(_started(master, remote))
        yield Cluster(sessions[0])

    try:
        yield opened
    finally:
        for spark in sessions:
            spark.stop()


def _started(master: str | None, remote: str | None) -> Any:
    """Starts a session of Spark.

    Raises:
        UsageError: pyspark is not installed, or there is no such server.
        EtlError: There is no such cluster.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError(
            f"--engine spark needs pyspark: {error}.", "pip install 'postback-etl[spark]', or use spark-submit."
        ) from error
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    if "PYSPARK_GATEWAY_PORT" not in os.environ and (master or "local").startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # spark-submit knows which Python the workers have
    if remote:
        _check_server(remote)
    builder = SparkSession.builder.appName("postback-etl")
    try:
        named = builder.remote(remote) if remote else builder.master(master) if master else builder
        spark = named.getOrCreate()
        spark.range(1).collect()
    except EtlError:  # a signal
        raise
    except Exception as error:
        failed = failure_of(error)
        raise EtlError(failed.problem, "Check --spark-master or --spark-remote, or use spark-submit.") from error
    return spark
