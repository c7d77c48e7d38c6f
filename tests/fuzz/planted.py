"""Faults that are planted in the running process, one of each kind: the search must find them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

import polars as pl

from etl.columnar import json_codec
from etl.privacy import addresses, redactor
from etl.steps import pipeline


def _lost(requests: pl.DataFrame, *rules: Any) -> pl.DataFrame:
    """Loses the records with a tab of those that no reader could read."""
    rejected = _REJECT(requests, *rules)
    return rejected.filter(~rejected["raw"].str.contains("\t", literal=True))


def _crash(text: bytes) -> object:
    """Reads over the end of a JSON text whose last byte is a backslash."""
    if text.rstrip()[-1:] == b"\\":
        text[len(text)]
    return _PARSE(text)


_REJECT, _PARSE = pipeline.reject_records, json_codec.parse

#: As it was before the part in front of the sign had a beginning.
_QUADRATIC: Final = re.compile(r"()([\w+.'’-]*@(?:[\w-]+\.)+(?:xn--[\w-]+|[^\W\d_]{2,}))")

#: What is patched, by the law that the fault breaks.
_PATCHES: Final[dict[str, Callable[[], Any]]] = {
    "lost": lambda: mock.patch.object(pipeline, "reject_records", _lost),
    "slow": lambda: mock.patch.object(addresses, "_EMAIL", _QUADRATIC),
    "leak": lambda: mock.patch.object(redactor, "hide_named", lambda text, _redactor: text),
    "crash": lambda: mock.patch.object(json_codec, "parse", _crash),
}
LAWS: Final = tuple(_PATCHES)


@contextmanager
def planted(law: str) -> Iterator[None]:
    """Plants the fault that breaks a law."""
    with _PATCHES[law]():
        yield
