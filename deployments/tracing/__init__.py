"""Traces by OpenTelemetry: the spans of this process, and how they leave it. Off unless `OTEL_*` turns it on."""
