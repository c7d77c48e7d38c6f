"""The options that say where a command works, on this machine or on Spark."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from etl.runner.stage_inputs import RunRequest


class EngineName(enum.StrEnum):
    """Where a command works."""

    LOCAL = "local"
    SPARK = "spark"


Engine = Annotated[EngineName, typer.Option(help="Where to work: on this machine, or on Spark.")]
SparkMaster = Annotated[
    str | None, typer.Option(metavar="URL", help="Where Spark runs, such as local[4]; else as spark-submit says.")
]
SparkRemote = Annotated[
    str | None, typer.Option(metavar="URL", help="Server that speaks Spark Connect, such as sc://localhost:15002.")
]


@contextmanager
def working_on(
    engine: EngineName, master: str | None, remote: str | None
) -> Iterator[Callable[[RunRequest], RunRequest]]:
    """Yields a function that has a request work where the options say; a session of Spark ends with the context.

    Raises:
        UsageError: An input cannot be read there, or two places are named.
    """
    if engine is EngineName.LOCAL and not (master or remote):
        yield lambda request: request
        return
    from etl.engines.spark_sessions import check_inputs, spark_session
    from etl.errors import UsageError

    if master and remote:
        raise UsageError("--spark-master and --spark-remote name two places.", "Name one.")
    with spark_session(master, remote) as open_engine:

        def on_spark(request: RunRequest) -> RunRequest:
            check_inputs(request.inputs)
            return replace(request, open_engine=open_engine, jobs=1, is_remote=True)

        yield on_spark
