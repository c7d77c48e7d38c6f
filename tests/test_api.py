"""The names of the Python API, whatever was imported before them."""

from __future__ import annotations

from importlib import import_module

import etl


def test_every_name_is_there() -> None:
    assert {name: hasattr(etl, name) for name in etl.__all__} == dict.fromkeys(etl.__all__, True)


def test_no_package_hides_a_function() -> None:
    """Python sets a package as an attribute of `etl` when a module of it is imported."""
    import_module("etl.steps.pipeline")
    assert callable(etl.transform)
    assert etl.transform(etl.schema.REQUESTS.empty()).conversions.height == 0
    assert etl.transform(etl.schema.REQUESTS.empty()).rejections.height == 0
