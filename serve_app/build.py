"""Binds the deployments together: the only file that knows them all."""

from typing import Any

from pydantic import ValidationError
from ray import serve
from ray.serve import Application

from deployments.capacity import Capacity
from deployments.embedding.server import EmbeddingServer
from deployments.errors import ConfigurationError
from deployments.scoring.server import ScoringServer
from deployments.search.server import SearchServer
from serve_app.ingress import IngressServer


def build_app(args: dict[str, Any]) -> Application:
    """The application from the `args` of `serve_config.yaml`; Raises `ConfigurationError` for what is wrong there."""
    try:
        capacity = Capacity.model_validate(args)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"serve_config.yaml, args.{where}: {first['msg']}") from None
    scoring = serve.deployment(ScoringServer, name="Scoring").bind()
    embedding = serve.deployment(EmbeddingServer, name="Embedding").bind(capacity.embedding, scoring)
    search = serve.deployment(SearchServer, name="Search").bind(capacity.search, embedding)
    ingress = serve.deployment(serve.ingress()(IngressServer), name="Ingress")
    return ingress.bind(capacity.ingress, search, embedding)
