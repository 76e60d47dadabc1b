"""Compares this machine's clock with others: expiry, leases and retention depend on it."""

from datetime import datetime

from jobs.doctor.findings import Finding, problem, warning, well

FEW_SECONDS, MANY_SECONDS = 3.0, 60.0


def judge_clock(whose: str, theirs: datetime, ours: datetime) -> Finding:
    """Judge the difference of two clocks. `ours`: our time halfway between the request and the answer."""
    seconds = (theirs - ours).total_seconds()
    if abs(seconds) < FEW_SECONDS:
        return well("clock", f"{whose} and this machine agree within {FEW_SECONDS:.0f} s.")
    said = f"{whose} is {abs(seconds):,.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine."
    advice = "Have both follow the same time servers (NTP): keys expire and retention deletes by these clocks."
    return (warning if abs(seconds) < MANY_SECONDS else problem)("clock", said, advice)
