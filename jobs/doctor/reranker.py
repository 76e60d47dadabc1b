"""Checks the reranker, if one is set, by scoring as many documents as a search sends."""

from time import perf_counter

from deployments.search.reranking.endpoint import RerankEndpoint
from deployments.search.reranking.protocol import RerankError
from deployments.search.reranking.stage import relevances_in_time
from deployments.settings import RerankSettings
from jobs.doctor.findings import Finding, problem, well

CHECK = "reranker"


async def scores(url: str, settings: RerankSettings) -> list[Finding]:
    """Check that it answers within the timeout of a search. May cost a paid call."""
    # Short documents in full number: servers limit the batch size (TEI: 32 by default), which one document would not
    # reveal.
    documents = ["ping"] * settings.candidates
    endpoint = RerankEndpoint(url, settings)
    started = perf_counter()
    try:
        await relevances_in_time(endpoint, settings, "ping", documents)
    except RerankError as error:
        reason = (error.details or {}).get("reason")
        said = f"{error.message} It says: {reason}" if reason else error.message
        return [problem(CHECK, said, "Check MEMORY_RERANK_* (docs/reranking.md): until then the ranking decides.")]
    finally:
        await endpoint.close()
    milliseconds = (perf_counter() - started) * 1e3
    return [well(CHECK, f"It scores {len(documents)} short documents in {milliseconds:,.0f} ms.")]
