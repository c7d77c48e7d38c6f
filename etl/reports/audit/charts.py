"""Draws charts: describes a frame in Vega-Lite and renders the description as SVG.

The SVG takes its colours from the page, so a chart is light or dark with the page. A tooltip on each mark shows its
numbers. `vl-convert` renders the SVG without a browser or a network.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any, Final
from xml.etree import ElementTree as ET

import polars as pl

from etl.errors import visible
from etl.reports.audit.formatting import cell, heading
from etl.reports.audit.question import Chart
from etl.reports.audit.series_styles import STATES, fill_of

_VERSION: Final = "6.4"
_SVG: Final = "http://www.w3.org/2000/svg"
_MOST_BARS: Final = 12
_LONGEST_LABEL: Final = 44

#: The end of a mark's label that gives its place in a stack. Tooltips leave it out.
_ORDER: Final = re.compile(r"; order: [0-9]+$")

_DAY: Final = "%a %d %b"

#: Width of a date on an axis, in pixels.
_DATE_WIDTH: Final = 60

#: The width of a chart includes its labels.
_FIT: Final = {"autosize": {"type": "fit-x", "contains": "padding"}}

_INK: Final = "var(--ink-2)"
_CONFIG: Final = {
    "font": "Helvetica, Arial, sans-serif",
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "labelColor": _INK,
        "titleColor": _INK,
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "gridColor": "var(--line)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 260,
    },
    "legend": {
        "labelColor": _INK,
        "titleColor": _INK,
        "labelFontSize": 12,
        "orient": "bottom",
        "title": None,
        "symbolType": "square",
        "symbolSize": 150,
        "labelLimit": 240,
    },
    "header": {"labelColor": _INK, "labelFontSize": 12, "title": None, "labelAnchor": "start"},
}


def draw(chart: Chart, rows: pl.DataFrame, width: int) -> str:
    """Draws a frame as an SVG element; returns an empty text if there is nothing to draw.

    Args:
        chart: How to draw the frame.
        rows: The frame.
        width: Width to draw in, in pixels.
    """
    import vl_convert

    if chart.kind == "days":
        rows = rows.drop_nulls("day")
    if not rows.height or (
        chart.kind != "heat_map" and not any(sum(row) for row in rows.select(chart.series).iter_rows())
    ):
        return ""
    spec = {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "config": _CONFIG}
    spec |= _KINDS[chart.kind](chart, rows, width)
    return _finish_svg(vl_convert.vegalite_to_svg(spec, vl_version=_VERSION), chart.title)


def _bars(chart: Chart, rows: pl.DataFrame, width: int) -> dict[str, Any]:
    """Describes a bar chart of the first rows: one bar per row, stacked by series."""
    shown = rows.head(_MOST_BARS)
    labels = _make_distinct(_labels(shown, chart.label, min(_LONGEST_LABEL, width // 12)))
    values = [
        {"label": label, "series": heading(name), "count": count, "order": place, "text": f"{count:,}"}
        for place, name in enumerate(chart.series)
        for label, count in zip(labels, shown[name], strict=True)
    ]
    color = _color({heading(name): chart.meaning or name for name in chart.series}, width)
    bars = {
        "mark": {"type": "bar", "height": 16},
        "encoding": {"order": {"field": "order", "type": "ordinal"}, "color": color},
    }
    numbers = {
        "mark": {"type": "text", "align": "left", "dx": 4, "color": "var(--ink)", "fontSize": 12},
        "encoding": {"text": {"field": "text", "type": "nominal"}},
    }
    side = {"ticks": False, "domain": False, "labelLimit": width // 2}
    return {
        "data": {"values": values},
        **_FIT,
        "width": width,
        "height": {"step": 25},
        "encoding": {
            "y": {"field": "label", "type": "nominal", "sort": labels, "title": None, "axis": side},
            "x": {
                "field": "count",
                "type": "quantitative",
                "title": None,
                "axis": _count_axis(values, max(3, width // 100)),
            },
        },
        "layer": [bars, numbers] if len(chart.series) == 1 else [bars],
    }


def _days(chart: Chart, rows: pl.DataFrame, width: int) -> dict[str, Any]:
    """Describes a chart with one column per day, stacked by series; days without rows stay empty."""
    drawn = [name for name in chart.series if any(rows[name])] or list(chart.series[:1])
    values = [
        {"day": day.isoformat(), "series": heading(name), "count": count, "order": place}
        for place, name in enumerate(drawn)
        for day, count in zip(rows["day"], rows[name], strict=True)
    ]
    days = [day.isoformat() for day in _days_between(rows["day"])]
    shown = days[:: max(1, -(-len(days) * _DATE_WIDTH // width))]
    bottom = {
        "values": shown,
        "labelExpr": "utcFormat(toDate(datum.value), '%e %b')",
        "labelAngle": 0,
        "ticks": False,
        "domain": False,
    }
    band = {"paddingInner": 0.15 if len(days) < width // 5 else 0, "domain": days}
    return {
        "data": {"values": values},
        **_FIT,
        "width": width,
        "height": 210,
        "mark": "bar",
        "encoding": {
            "x": {"field": "day", "type": "ordinal", "scale": band, "title": None, "axis": bottom},
            "y": {"field": "count", "type": "quantitative", "title": None, "axis": _count_axis(values, 3)},
            "order": {"field": "order", "type": "ordinal"},
            "color": _color({heading(name): name for name in drawn}, width),
        },
    }


def _days_between(days: pl.Series) -> list[date]:
    """Lists every day from the earliest to the latest."""
    first, last = min(days), max(days)
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _heat_map(chart: Chart, rows: pl.DataFrame, width: int) -> dict[str, Any]:
    """Describes a heat map for each integration: one row per day, one column per hour, coloured by state."""
    whose = _labels(rows, chart.label, 80)
    shown = rows.with_columns(pl.col("day").dt.strftime(_DAY)).select("day", "hour", "state")
    values = [{"whose": name, **row} for name, row in zip(whose, shown.to_dicts(), strict=True)]
    integrations, whole_day = list(dict.fromkeys(whose)), {"domain": list(range(24))}
    days = [day.strftime(_DAY) for day in sorted(rows["day"].unique())]
    bare = {"domain": False, "ticks": False}
    hours = {**bare, "labelAngle": 0, "values": list(range(0, 24, 3))}
    states = {"domain": list(STATES), "range": [fill_of(state) for state in STATES]}
    legend = {"columns": 3 if width > 500 else 2}
    return {
        "data": {"values": values},
        "width": {"step": max(9, (width - 90) // 24)},
        "height": {"step": 15},
        "mark": {"type": "rect", "stroke": "var(--paper)", "strokeWidth": 1},
        "encoding": {
            "row": {"field": "whose", "type": "nominal", "sort": integrations, "header": {"orient": "top"}},
            "x": {"field": "hour", "type": "ordinal", "scale": whole_day, "title": "hour", "axis": hours},
            "y": {"field": "day", "type": "ordinal", "sort": days, "title": None, "axis": bare},
            "color": {"field": "state", "type": "nominal", "scale": states, "legend": legend},
        },
    }


_KINDS: Final = {"bars": _bars, "days": _days, "heat_map": _heat_map}


def _color(series: dict[str, str], width: int) -> dict[str, Any]:
    """Describes how series are filled, by what they mean; several series get a legend."""
    scale = {"domain": list(series), "range": [fill_of(meaning) for meaning in series.values()]}
    legend = None if len(series) == 1 else {"columns": _legend_columns(width)}
    return {"field": "series", "type": "nominal", "scale": scale, "legend": legend}


def _legend_columns(width: int) -> int:
    return max(1, width // 190)


def _count_axis(values: list[dict[str, Any]], ticks: int) -> dict[str, Any]:
    """Describes an axis of counts; low counts get a tick at each whole number."""
    most = max(value["count"] for value in values)
    few = {"values": list(range(most + 1))} if most <= ticks else {"tickCount": ticks}
    return {"format": ",d", "domain": False, "ticks": False, **few}


def _labels(rows: pl.DataFrame, columns: tuple[str, ...], longest: int) -> list[str]:
    """Labels each row by its label columns, of many rows by those that differ; long labels are cut."""
    distinguishing = [name for name in columns if rows.height == 1 or rows[name].n_unique() > 1] or list(columns[-1:])
    texts = [" · ".join(cell(name, row[name]) for name in distinguishing) for row in rows.iter_rows(named=True)]
    return [text if len(text) <= longest else f"{text[: longest - 1]}…" for text in texts]


def _make_distinct(labels: list[str]) -> list[str]:
    """Adds invisible blanks to repeated labels, so that each label gets its own bar."""
    return [label + "\u200a" * labels[:place].count(label) for place, label in enumerate(labels)]


def _finish_svg(svg: str, title: str) -> str:
    """Gives an SVG an accessible title, lets it fill its container, and turns labels of marks into tooltips."""
    ET.register_namespace("", _SVG)
    root = ET.fromstring(svg)
    root.attrib |= {"role": "img", "aria-label": visible(title), "class": "chart"}
    root.attrib["style"] = f"max-width:{root.attrib.pop('width')}px"
    root.attrib.pop("height")
    for mark in root.iter():
        is_bar = mark.get("role") == "graphics-symbol" and mark.get("aria-roledescription") in (
            "bar",
            "rect",
            "rect mark",
        )
        label = mark.attrib.pop("aria-label", None) if mark is not root else None
        for name in ("role", "aria-roledescription", "aria-hidden"):
            if mark is not root:
                mark.attrib.pop(name, None)
        if is_bar and label:
            ET.SubElement(mark, f"{{{_SVG}}}title").text = _ORDER.sub("", label)
    return ET.tostring(root, encoding="unicode")
