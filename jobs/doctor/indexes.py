"""The in-memory indexes of the Search replicas, as `GET /metrics` reports them."""

from collections import defaultdict

import httpx
from prometheus_client.parser import text_string_to_metric_families

from jobs.doctor.findings import Finding, skipped, warning, well

CHECK = "service.indexes"
# Below this number of loads nothing can be concluded: each tenant is loaded once.
LOADS_JUDGED = 200
OFTEN_EVICTED = 0.5


async def held(client: httpx.AsyncClient) -> Finding:
    """Return the memory that the indexes use, and whether tenants are reloaded repeatedly. Raises `httpx.HTTPError`."""
    answer = await client.get("/metrics")
    if not answer.is_success:
        return skipped(CHECK, f"GET /metrics answers HTTP {answer.status_code}: what indexes take is not known.")
    return judge_indexes(answer.text)


def judge_indexes(exposed: str) -> Finding:
    """Judge metrics in Prometheus' text format."""
    sums: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(exposed):
        for sample in family.samples:
            sums[sample.name] += sample.value
    loads, evictions = sums["memory_index_loads_total"], sums["memory_index_evictions_total"]
    said = (
        f"Indexes of {sums['memory_index_tenants']:.0f} tenants take {sums['memory_index_bytes'] / 2**20:.0f} MB; "
        f"{loads:.0f} were loaded, and {evictions:.0f} left for others."
    )
    if loads >= LOADS_JUDGED and evictions > OFTEN_EVICTED * loads:
        advice = "Raise MEMORY_SEARCH_INDEX_BYTES, or run more Search replicas: tenants are loaded again and again."
        return warning(CHECK, said, advice)
    return well(CHECK, said)
