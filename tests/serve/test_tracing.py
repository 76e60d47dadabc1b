"""One trace over all replicas, from HAProxy's client to Postgres and the embedding provider."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx

from tests.otlp_receiver import Received, Receiver
from tests.serve.launched_service import LaunchedService
from tests.serve.test_cluster import logged, message, wait_until
from tests.unit.embedding.stand_in import StandIn

PARENT = "b7ad6b7169203331"


def search(client: httpx.Client, query: str, tenant_id: str = "acme") -> str:
    """Search within a trace of one's own, and name it."""
    trace = uuid4().hex
    answer = client.get(
        "/v1/memory/search",
        params={"tenant_id": tenant_id, "query": query},
        headers={"traceparent": f"00-{trace}-{PARENT}-01"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["degraded"] is False
    return trace


def by_name(spans: list[Received]) -> dict[str, Received]:
    return {span.name: span for span in spans}


def log_lines(service: LaunchedService, trace: str) -> dict[str, dict[str, Any]]:
    """The lines that name a trace, by deployment and event. Ray puts the replica's name in front of each."""
    found = [line[line.index("{") :] for line in service.console().splitlines() if trace in line and "{" in line]
    parsed = [json.loads(line) for line in found]
    return {f"{line['deployment']} {line['event']}": line for line in parsed}


def test_a_search_is_one_trace_over_three_replicas_and_the_provider(
    production: LaunchedService, receiver: Receiver, provider: StandIn, root: httpx.Client
) -> None:
    search(root, "who lives where")
    trace = search(root, "where does Ana live")
    expected = {
        "GET /v1/memory/search": ("Ingress", "SERVER", PARENT),
        "search": ("Ingress", "CLIENT", "GET /v1/memory/search"),
        "Search.search": ("Search", "SERVER", "search"),
        "embed": ("Search", "CLIENT", "Search.search"),
        "Embedding.embed_query": ("Embedding", "SERVER", "embed"),
        "embeddings": ("Embedding", "INTERNAL", "Embedding.embed_query"),
        "POST": ("Embedding", "CLIENT", "embeddings"),
        "index": ("Search", "INTERNAL", "Search.search"),
        "read_changes": ("Search", "CLIENT", "index"),
        "rank": ("Search", "INTERNAL", "Search.search"),
    }
    receiver.wait(lambda: set(expected) <= set(by_name(receiver.of(trace))))
    spans = receiver.of(trace)
    found = by_name(spans)

    assert len(found) == len(spans)
    for name, (deployment, kind, parent) in expected.items():
        span = found[name]
        assert (span.deployment, span.kind) == (deployment, kind), name
        assert span.parent == (found[parent].span if parent in found else parent), name
        assert not span.failed, name
    assert found["Embedding.embed_query"].attributes["memory_layer.cache"] == "miss"
    (sent,) = [each for each in provider.received if "where does Ana live" in each.texts]
    assert sent.headers["traceparent"] == f"00-{trace}-{found['POST'].span}-01"
    assert "baggage" not in sent.headers

    wanted = {"Ingress request": "GET /v1/memory/search", "Search searched": "Search.search"}
    wait_until(lambda: set(wanted) <= set(log_lines(production, trace)))
    lines = log_lines(production, trace)
    for line, name in wanted.items():
        assert lines[line]["span_id"] == found[name].span


def test_searches_that_cross_together_keep_their_traces(receiver: Receiver, root: httpx.Client) -> None:
    queries = [f"query {number} {uuid4().hex}" for number in range(64)]
    with ThreadPoolExecutor(16) as pool:
        traces = list(pool.map(lambda query: search(root, query), queries))
    whole = {"GET /v1/memory/search", "search", "Search.search", "embed", "Embedding.embed_query", "index"}
    receiver.wait(lambda: all(whole <= set(by_name(receiver.of(trace))) for trace in traces))

    for trace in traces:
        spans = receiver.of(trace)
        assert [span.name for span in spans].count("index") == 1
        assert by_name(spans)["index"].parent == by_name(spans)["Search.search"].span
    # What was asked of the provider for several is in the trace of one, and the others name its span.
    embedded = {span.span: span for span in receiver.spans if span.name == "Embedding.embed_query"}
    asked_for = {span.parent for span in receiver.spans if span.name == "embeddings" and span.parent in embedded}
    of_these = [span for span in embedded.values() if span.trace in traces]
    assert all(span.span in asked_for or set(span.links) & asked_for for span in of_these)


def test_what_is_embedded_later_has_one_trace_with_its_scoring(receiver: Receiver, root: httpx.Client) -> None:
    assert root.post("/v1/messages", json=message("My sister moved to Lisbon", "acme")).status_code == 202
    whole = {"embed_messages", "claim", "embeddings", "POST", "score", "Scoring.score", "complete_jobs"}

    def works() -> list[dict[str, Received]]:
        traces = [span.trace for span in receiver.spans if span.name == "embed_messages"]
        return [found for trace in traces if whole <= set(found := by_name(receiver.of(trace)))]

    receiver.wait(lambda: bool(works()))
    found = works()[0]
    assert found["embed_messages"].parent == ""
    assert found["Scoring.score"].deployment == "Scoring"
    assert found["Scoring.score"].parent == found["score"].span
    assert found["complete_jobs"].parent == found["embed_messages"].span


def test_a_store_is_traced_to_its_statement(receiver: Receiver, root: httpx.Client) -> None:
    trace = uuid4().hex
    headers = {"traceparent": f"00-{trace}-{PARENT}-01"}
    stored = root.post("/v1/messages", json=message("I like tea", "acme"), headers=headers)
    assert stored.status_code == 202
    receiver.wait(lambda: {"POST /v1/messages", "store", "store_messages"} <= set(by_name(receiver.of(trace))))

    assert by_name(receiver.of(trace))["POST /v1/messages"].parent == PARENT


def test_what_was_sent_is_in_no_span(receiver: Receiver, root: httpx.Client) -> None:
    trace = search(root, "an-unheard-of-word", tenant_id="an-unheard-of-tenant")
    receiver.wait(lambda: "GET /v1/memory/search" in by_name(receiver.of(trace)))

    sent = b"".join(receiver.bodies)
    for secret in (b"unheard-of", b"root-key", b"Lisbon"):
        assert secret not in sent


def test_off_a_request_is_in_no_trace(cluster: LaunchedService, client: httpx.Client) -> None:
    trace = uuid4().hex
    headers = {"traceparent": f"00-{trace}-{PARENT}-01", "X-Request-ID": trace[::-1]}
    assert client.get("/v1/admin/liveness", headers=headers).status_code == 200
    wait_until(lambda: logged(cluster, trace[::-1], "request"))

    assert trace not in cluster.console()
    assert "trace_id" not in cluster.console()
