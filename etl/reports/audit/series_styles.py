"""How each series is drawn, in every chart and scheme: by a colour and a pattern that stand for its meaning alone.

Colours are variables of the page, and so follow its scheme. Within a chart no two series share a colour or a pattern,
so that a reader tells them apart without colours, too.
"""

from __future__ import annotations

from typing import Final

#: Lines of each pattern in a square of six pixels, drawn in the colour of the paper.
_PATTERNS: Final = {
    "solid": "",
    "slash": "M-1,1L1,-1M0,6L6,0M5,7L7,5",
    "backslash": "M-1,5L1,7M0,0L6,6M5,-1L7,1",
    "cross": "M-1,1L1,-1M0,6L6,0M5,7L7,5M-1,5L1,7M0,0L6,6M5,-1L7,1",
    "dots": "M2,2H4V4H2Z",
    "rows": "M0,3H6",
    "columns": "M3,0V6",
    "grid": "M0,3H6M3,0V6",
}

#: Colour and pattern by series; a column of conversions, rejections or times counts what its chart is about.
STYLES: Final = {
    "count": ("series-1", "solid"),
    "conversions": ("series-1", "solid"),
    "rejections": ("series-4", "rows"),
    "times": ("series-7", "slash"),
    # why records are rejected
    "malformed_record": ("series-7", "rows"),
    "malformed_body": ("series-8", "dots"),
    "body_not_logged": ("series-3", "columns"),
    "unread_postback": ("series-6", "grid"),
    "missing_identity": ("series-2", "slash"),
    "unknown_conversion_type": ("series-4", "backslash"),
    "unknown_type": ("series-4", "backslash"),
    "duplicate_transaction": ("series-5", "cross"),
    # what conversions are matched by
    "by_click_id": ("series-5", "solid"),
    "by_ref_id": ("series-6", "slash"),
    "by_email": ("series-8", "columns"),
    # what is wrong with them
    "lead_by_default": ("series-2", "solid"),
    "negative_value": ("series-3", "solid"),
    "invalid_value": ("series-4", "slash"),
    "unknown_currency": ("series-6", "dots"),
    "invalid_currency": ("series-7", "backslash"),
    "items_mismatch": ("series-8", "grid"),
    "other_time": ("series-3", "slash"),
    "invalid_time": ("series-4", "dots"),
    "late": ("series-6", "rows"),
    "future": ("series-2", "backslash"),
    # repetitions, and further tries
    "identical_duplicate": ("series-5", "slash"),
    "identical": ("series-5", "slash"),
    "conflicting_duplicate": ("series-4", "cross"),
    "conflicting": ("series-4", "cross"),
    "likely_duplicate": ("series-8", "solid"),
    "tried_again": ("series-5", "backslash"),
    "succeeded_before": ("series-1", "dots"),
    "never_succeeded": ("series-4", "solid"),
    "cannot_be_told": ("series-7", "grid"),
    # hours
    "silent": ("bad", "cross"),
    "under half": ("low", "slash"),
    "as usual": ("usual", "solid"),
    "over half more": ("high", "dots"),
    "too few to tell": ("faint", "solid"),
}

#: States of an hour, in the order of the legend.
STATES: Final = ("silent", "under half", "as usual", "over half more", "too few to tell")


def fill_of(series: str) -> str:
    """Returns what fills the marks of a series: a pattern of `draw_patterns`, or a plain colour."""
    colour, pattern = STYLES[series]
    return f"var(--{colour})" if pattern == "solid" else f"url(#{colour}-{pattern})"


def draw_patterns() -> str:
    """Draws the patterns as an SVG element without size, to stand once in a page."""
    patterns = "".join(
        f'<pattern id="{colour}-{pattern}" width="6" height="6" patternUnits="userSpaceOnUse">'
        f'<rect width="6" height="6" fill="var(--{colour})"/><path d="{_PATTERNS[pattern]}"/></pattern>'
        for colour, pattern in sorted(set(STYLES.values()))
        if pattern != "solid"
    )
    return f'<svg class="patterns" width="0" height="0" aria-hidden="true">{patterns}</svg>'
