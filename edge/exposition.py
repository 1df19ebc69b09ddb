"""Prometheus metrics: to a text file for node_exporter, and over loopback HTTP when asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.exposition import write_to_textfile

from .errors import InvalidConfiguration
from .work import Kind, Report

LOOPBACK = "127.0.0.1"
_LATENCY_SECONDS = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 1800, 7200)
_STAGE_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 15, 30)
_COUNTED = {Kind.DONE: "done", Kind.KNOWN: "known", Kind.QUARANTINED: "quarantined"}


class Metrics:
    """What the daemon counts. No label names a file."""

    def __init__(self) -> None:
        """Everything starts at zero: Prometheus knows how to read a counter that does."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series each, of no use here
        registry = self._registry = CollectorRegistry()
        ProcessCollector(namespace="bonedge", registry=registry)
        self._files = Counter("bonedge_files", "Files settled, by outcome", ["outcome"], registry=registry)
        for outcome in _COUNTED.values():
            self._files.labels(outcome)
        self._verdicts = Counter("bonedge_verdicts", "Results written, by verdict", ["label"], registry=registry)
        self._retries = Counter("bonedge_retries", "Files put off, to be tried again", registry=registry)
        self._lost = Counter("bonedge_decoders_lost", "Decoding processes that a file ended", registry=registry)
        self._latency = Histogram(
            "bonedge_latency_seconds",
            "From a file's last change to its durable result",
            buckets=_LATENCY_SECONDS,
            registry=registry,
        )
        self._stage = Histogram(
            "bonedge_stage_seconds", "Per stage of one file", ["stage"], buckets=_STAGE_SECONDS, registry=registry
        )
        self._waiting = Gauge("bonedge_queue_files", "Complete files that wait", ["queue"], registry=registry)
        self._unsettled = Gauge("bonedge_unsettled_files", "Files known and not settled", registry=registry)
        self._oldest = Gauge("bonedge_oldest_pending_seconds", "Age of the oldest unsettled file", registry=registry)
        self._blocked = Gauge("bonedge_blocked", "1 while output, ledger or engine does not work", registry=registry)
        self._input = Gauge("bonedge_input_available", "1 while the input folder can be read", registry=registry)
        self._forbidden = Gauge(
            "bonedge_forbidden_folders", "Folders of the input that may not be read", registry=registry
        )
        self._rescan = Gauge("bonedge_rescan_cpu_seconds", "Processor time of the last rescan", registry=registry)
        self._bundle = Info("bonedge_bundle", "The bundle in use", registry=registry)
        self._stop: Callable[[], None] = lambda: None

    def count(self, report: Report) -> None:
        """Count what came of an arrival."""
        if report.kind in _COUNTED:
            self._files.labels(_COUNTED[report.kind]).inc()
        elif report.kind is Kind.LATER:
            self._retries.inc()
        if report.decoder_lost:
            self._lost.inc()
        if report.kind is Kind.DONE:
            self._verdicts.labels(report.label).inc()
            self._latency.observe(report.latency_seconds)
        if report.timings_ms is not None:
            for stage in ("decode", "preprocess", "segment", "classify"):
                self._stage.labels(stage).observe(getattr(report.timings_ms, stage) / 1000)

    def set_state(
        self,
        *,
        new: int,
        backlog: int,
        unsettled: int,
        oldest_seconds: float,
        blocked: bool,
        input_available: bool,
        forbidden_folders: int,
        rescan_seconds: float,
    ) -> None:
        """How things stand."""
        self._waiting.labels("new").set(new)
        self._waiting.labels("backlog").set(backlog)
        self._unsettled.set(unsettled)
        self._oldest.set(oldest_seconds)
        self._blocked.set(blocked)
        self._input.set(input_available)
        self._forbidden.set(forbidden_folders)
        self._rescan.set(rescan_seconds)

    def set_blocked(self) -> None:
        """Before anything else is known: what is to be worked with does not work."""
        self._blocked.set(True)
        self._input.set(True)

    def set_bundle(self, name: str, version: str, digest: str, engine: str) -> None:
        """Which bundle is in use."""
        self._bundle.info({"name": name, "version": version, "digest": digest, "engine": engine})

    def write(self, path: Path) -> None:
        """Replace the text file, whole. Raises OSError."""
        write_to_textfile(str(path), self._registry)
        path.chmod(0o644)  # node_exporter is another user, and the service's umask leaves others nothing

    def serve(self, port: int) -> None:
        """Answer on http://127.0.0.1:`port`/metrics, and on no other address.

        Raises:
            InvalidConfiguration: the port is taken or may not be used.
        """
        try:
            server, thread = start_http_server(port, addr=LOOPBACK, registry=self._registry)
        except OSError as error:
            raise InvalidConfiguration(
                f"metrics cannot be served on port {port} ({error.strerror}); give another watch.metrics_port"
            ) from error
        self._stop = _stopper(server.shutdown, server.server_close, thread)

    def close(self) -> None:
        """Stop answering."""
        self._stop()


def _stopper(shutdown: Callable[[], None], close: Callable[[], None], thread: Thread) -> Callable[[], None]:
    def stop() -> None:
        shutdown()
        close()
        thread.join(5.0)

    return stop
