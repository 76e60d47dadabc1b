"""Metrics in Prometheus' text format."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from serve_app.edge.instruments import IngressMetrics

router = APIRouter()


async def _metrics(request: Request) -> IngressMetrics:
    metrics: IngressMetrics = request.app.state.services.metrics
    return metrics


MetricsOf = Annotated[IngressMetrics, Depends(_metrics)]


# Not in the OpenAPI document: the answer is not JSON and not meant for applications.
@router.get("/metrics", include_in_schema=False)
async def show_metrics(metrics: MetricsOf) -> Response:
    """Return the metrics of the whole cluster, the same from every replica."""
    return Response(await metrics.text(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
