"""What a server counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

ROUTES = ("/", "/classify", "/healthz", "/metrics", "/openapi.json", "/site.json")
BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """Counters of one server; several may live in a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "pointstill_requests",
            "By route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "pointstill_request_seconds",
            "From the first header to the last byte of the answer.",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.waiting = Gauge(
            "pointstill_uploads_inside", "Received, read or waiting.", registry=self.registry
        )
        self.restarts = Gauge(
            "pointstill_reader_restarts", "Readers that were killed.", registry=self.registry
        )

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count one request. Paths that nobody serves are one route, or there would be no end."""
        route = path if path in ROUTES else "files" if status == 200 else "other"
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        content: bytes = generate_latest(self.registry)
        return content
