"""What is found in the environment, each variable by itself."""

from jobs.doctor.findings import Outcome
from jobs.doctor.settings import valid


def test_a_variable_that_tracing_cannot_do_with() -> None:
    (finding,) = valid({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_BSP_MAX_QUEUE_SIZE": "100"})

    assert finding.outcome is Outcome.PROBLEM
    assert finding.said.startswith("OTEL_BSP_MAX_QUEUE_SIZE: ")


def test_variables_that_tracing_can_do_with() -> None:
    (finding,) = valid({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_BSP_MAX_QUEUE_SIZE": "512"})

    assert finding.outcome is Outcome.OK
