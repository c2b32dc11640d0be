"""Logs, traces and metrics of a process, configured once in its `__main__`."""

import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar

import structlog
from opentelemetry import propagate, trace
from opentelemetry.context import attach
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Histogram, start_http_server

from mesh.settings import Common

REQUEST_ID_METADATA = "x-request-id"

# The id of the request being served, from the HTTP header to the last log line of the last service.
request_id: ContextVar[str] = ContextVar("request_id", default="")
_PROPAGATOR = TraceContextTextMapPropagator()

RPCS = Counter("cn_rpc_requests_total", "gRPC calls served, by method and status code.", ["method", "code"])
RETRIES = Counter("cn_rpc_retries_total", "gRPC calls made again because no service had seen them.")
RPC_SECONDS = Histogram("cn_rpc_duration_seconds", "Time from a call's arrival to its end.", ["method"])

log: structlog.stdlib.BoundLogger = structlog.get_logger("controlmesh")


def carried() -> dict[str, str]:
    """The trace and request id of the current request, to store with work that is done later or elsewhere."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return {**carrier, "request_id": request_id.get()}


def carry_on(carrier: Mapping[str, str]) -> None:
    """Make the current task part of the request in which `carried` was called."""
    request_id.set(carrier.get("request_id", ""))
    attach(_PROPAGATOR.extract(carrier))


def configure(service: str, settings: Common) -> None:
    """Send logs to standard output and traces to the OTLP endpoint, if one is set.

    Args:
        service: its name in every log line and span, such as "unet_svc".
        settings: level, format and endpoint.
    """
    _configure_logs(service, settings)
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
    if settings.otlp_endpoint:
        exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint, insecure=True)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    # Of a client's headers no more than the trace: reading baggage takes time that grows with the square of its length,
    # and it would go on to every other service.
    propagate.set_global_textmap(_PROPAGATOR)


def _configure_logs(service: str, settings: Common) -> None:
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    renderers: dict[str, structlog.typing.Processor] = {
        "json": structlog.processors.JSONRenderer(),
        "console": structlog.dev.ConsoleRenderer(),
    }

    def stamp(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        if current := request_id.get():
            event["request_id"] = current
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            event["trace_id"] = trace.format_trace_id(span.trace_id)
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        stamp,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderers[settings.log_format],
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


def serve_metrics(address: str) -> None:
    """Serve Prometheus metrics at http://`address`/metrics from a separate thread; `address` is host:port."""
    host, _, port = address.rpartition(":")
    start_http_server(int(port), host)
