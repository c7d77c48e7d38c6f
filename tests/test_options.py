"""The command, its help and the Python API take the same options: the fields of `RunOptions`."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

import etl
from etl.cli import options
from etl.errors import UsageError
from etl.options import FLAGS, Options, RunOptions
from etl.rules.ruleset import Ruleset


@pytest.mark.parametrize("function", [etl.run, etl.load], ids=["run", "load"])
def test_the_python_api_takes_every_option(function: object) -> None:
    """By name, or as one of the fields of `Options`."""
    named = set(inspect.signature(function).parameters)  # type: ignore[arg-type]
    assert set(FLAGS) - {field.name for field in fields(Options)} <= named


def test_defaults_as_typed_are_the_defaults() -> None:
    typed = options.Typed({name: flag.default for name, flag in FLAGS.items()} | {"pii": options.PiiMode.HASH})
    parsed = typed.parsed()
    assert parsed == RunOptions(ruleset=Ruleset(), jobs=parsed.jobs)
    assert parsed.jobs >= 1


def test_texts_are_read() -> None:
    typed = options.Typed(
        {"statuses": "2xx", "max_record_bytes": "1MB", "min_matched": "90%", "columns": ["payload=b"]}
    )
    assert typed.parsed() == RunOptions(
        statuses=(range(200, 300),), max_record_bytes=2**20, min_matched=0.9, columns={"payload": "b"}
    )


def test_a_text_that_cannot_be_read_names_its_flag() -> None:
    with pytest.raises(UsageError, match="--until 'soon'"):
        options.Typed({"until": "soon"}).parsed()
