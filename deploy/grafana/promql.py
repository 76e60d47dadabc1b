"""The expressions that panels share."""

# What callers ask for: probes and scrapes are none of it.
PROBES = "/metrics|/v1/admin/(health|readiness|liveness)"
# The endpoints that are chosen at the top of the dashboard.
CHOSEN = 'endpoint=~"$endpoint"'
# Our application, of those that Serve runs.
SERVE = 'application="memory"'


def rate(metric: str, by: str, matchers: str = "") -> str:
    """Events a second, by labels."""
    chosen = f"{{{matchers}}}" if matchers else ""
    return f"sum by ({by}) (rate({metric}{chosen}[$__rate_interval]))"


def total(metric: str, matchers: str = "") -> str:
    """Events a second, of all series together."""
    chosen = f"{{{matchers}}}" if matchers else ""
    return f"sum(rate({metric}{chosen}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str, matchers: str = "") -> str:
    """What a share of the observations does not exceed, by labels; `metric` is the histogram's name."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', f'le, {by}', matchers)})"
