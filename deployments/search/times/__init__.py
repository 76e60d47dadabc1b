"""Find the times that queries name. Pure: the clock is passed in."""

from deployments.search.times.english import asks_when, tells_when
from deployments.search.times.reference import TimeReference, time_reference
from deployments.search.times.spans import Span

__all__ = ["Span", "TimeReference", "asks_when", "tells_when", "time_reference"]
