"""What Prometheus gets: requests, latency, batches, and the answers by digit. No picture, no address."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from inkdigits.reading.results import PageReading

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
CONFIDENCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The counters of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        common: dict[str, Any] = {"namespace": "inkdigits", "registry": self.registry}
        self._requests = Counter("requests", "Requests by route and status.", ["route", "status"], **common)
        self._seconds = Histogram("request_seconds", "Time to answer.", ["route"], buckets=SECONDS, **common)
        self._by_route: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._batches = Histogram("batch_size", "Requests in one model call.", ["lane"], buckets=BATCHES, **common)
        digits = Counter("digits", "Digits answered.", ["digit"], **common)
        self._digits = [digits.labels(str(digit)) for digit in range(10)]
        self._rejected = Counter("digits_rejected", "Digits answered and not accepted.", **common)
        self._confidence = Histogram("digit_confidence", "Confidence of digits.", buckets=CONFIDENCES, **common)
        self._corrections = Counter("corrections", "Corrections kept.", **common)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Note one request; `route` is one of the app's own, so that nobody can grow the table."""
        if (route, status) not in self._by_route:
            # Kept here, because prometheus_client takes longer to find them than to count.
            self._by_route[route, status] = (self._requests.labels(route, str(status)), self._seconds.labels(route))
        requests, durations = self._by_route[route, status]
        requests.inc()
        durations.observe(seconds)

    def count_batch(self, kind: str, n: int) -> None:
        """Note one model call with n pictures of a kind."""
        self._batches.labels(kind).observe(n)

    def count_answer(self, page: PageReading) -> None:
        """Note the digits of one answer."""
        for line in page.lines:
            for item in line.items:
                self._digits[item.digit % 10].inc()
                self._confidence.observe(item.confidence)
                if not item.accepted:
                    self._rejected.inc()

    def count_correction(self) -> None:
        """Note one correction kept."""
        self._corrections.inc()

    def text(self) -> bytes:
        """Return all of it in Prometheus's text format."""
        return generate_latest(self.registry)
