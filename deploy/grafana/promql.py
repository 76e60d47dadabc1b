"""PromQL expressions that several panels use."""

# Callers' requests only: no probes and no scrapes.
PROBES = "/metrics|/v1/admin/(health|readiness|liveness)"
# The endpoints that are selected at the top of the dashboard.
CHOSEN = 'endpoint=~"$endpoint"'
# Our application among those of Serve.
SERVE = 'application="memory"'


def rate(metric: str, by: str, matchers: str = "") -> str:
    """Return events per second, by labels."""
    chosen = f"{{{matchers}}}" if matchers else ""
    return f"sum by ({by}) (rate({metric}{chosen}[$__rate_interval]))"


def total(metric: str, matchers: str = "") -> str:
    """Return events per second, summed over all series."""
    chosen = f"{{{matchers}}}" if matchers else ""
    return f"sum(rate({metric}{chosen}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str, matchers: str = "") -> str:
    """Return a quantile of a histogram, by labels. `share`: 0 to 1; `metric`: the histogram's name."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', f'le, {by}', matchers)})"
