"""Finds the times that queries name. Pure: the clock is passed in."""

from deployments.analysis.times.english import asks_when, tells_when
from deployments.analysis.times.reference import TimeReference, time_reference
from deployments.analysis.times.spans import Span

__all__ = ["Span", "TimeReference", "asks_when", "tells_when", "time_reference"]
