"""Binds the deployments into one application. Only this module imports all of them."""

from typing import Any

from pydantic import ValidationError
from ray import serve
from ray.serve import Application

from deployments.embedding.server import EmbeddingServer
from deployments.errors import ConfigurationError
from deployments.metrics.server import MetricsServer
from deployments.rate_limits.server import RateLimitServer
from deployments.runtime.capacity import Capacity
from deployments.scoring.server import ScoringServer
from deployments.search.routing.tenant_router import TenantRouter
from deployments.search.server import SearchServer
from deployments.validation_faults import first_fault
from serve_app.ingress import IngressServer


def build_app(args: dict[str, Any]) -> Application:
    """Return the application for the `args` of `serve_config.yaml`. Raises `ConfigurationError` for invalid ones."""
    try:
        capacity = Capacity.model_validate(args)
    except ValidationError as error:
        raise ConfigurationError(f"serve_config.yaml, {first_fault(error, 'args')}") from None
    metrics = serve.deployment(name="Metrics")(MetricsServer).bind()
    scoring = serve.deployment(name="Scoring")(ScoringServer).bind(metrics)
    embedding = serve.deployment(name="Embedding")(EmbeddingServer).bind(capacity.embedding, scoring, metrics)
    routing = {"request_router_class": TenantRouter}
    searching = serve.deployment(name="Search", request_router_config=routing)(SearchServer)
    search = searching.bind(capacity.search, embedding, metrics)
    rate_limits = serve.deployment(name="RateLimits")(RateLimitServer).bind(metrics)
    ingress = serve.deployment(name="Ingress")(serve.ingress()(IngressServer))
    return ingress.bind(capacity, search, embedding, rate_limits, metrics, scoring)
