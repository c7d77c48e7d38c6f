"""Lists how long ad platforms take a conversion after it happened.

The endpoint passes a conversion on to ad platforms. A platform refuses a conversion that is older than its window, even
though the endpoint records it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple


class PlatformWindow(NamedTuple):
    """How long a platform takes conversions.

    Attributes:
        platform: The platform.
        days: How many days after the beginning a conversion is taken.
        begins: What the days count from: the `conversion`, or the `click` before it, which postbacks do not say.
        source: The platform's document that says so.
    """

    platform: str
    days: int
    begins: str
    source: str


#: The day on which the sources were read.
READ_ON: Final = "2026-11-28"

WINDOWS: Final = (
    PlatformWindow("Meta", 7, "conversion", "Conversions API, Using the API: `event_time`"),
    PlatformWindow("Snapchat", 37, "conversion", "Marketing API, Conversions API: introduction"),
    PlatformWindow("Google Ads", 90, "click", "Google Ads Help: import of offline conversions from clicks"),
    PlatformWindow("LinkedIn", 90, "conversion", "LinkedIn Conversions API: requirements"),
)


def still_taken_by(occurred_at: datetime | None, now: datetime) -> list[str]:
    """Lists the platforms whose window is open for a conversion; without a time it counts as happening now.

    A window that begins with the click may have closed earlier than this says.

    Examples:
        >>> from datetime import UTC
        >>> still_taken_by(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 20, tzinfo=UTC))
        ['Snapchat', 'Google Ads', 'LinkedIn']
    """
    age = now - (occurred_at or now)
    return [window.platform for window in WINDOWS if age <= timedelta(days=window.days)]
