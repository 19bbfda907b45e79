"""The samples in the text format of Prometheus, through prometheus-client."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cachetune.errors import MissingExtraError
from cachetune.exporter.metrics import METRICS, Metric
from cachetune.exporter.samples import Samples

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

_TYPES = {"counter": ("counter", "_total"), "info": ("info", "_info"), "gauge": ("gauge", "")}


class Collector:
    """A collector for prometheus-client: ``samples`` is called once for each scrape."""

    def __init__(self, samples: Callable[[], Samples]) -> None:
        self._samples = samples

    def describe(self) -> Iterator["Family"]:
        """The families without samples: their names must be known to serve ``?name[]=``."""
        return (_family(metric) for metric in METRICS)

    def collect(self) -> Iterator["Family"]:
        """The families that have samples."""
        samples = self._samples()
        for metric in METRICS:
            if rows := samples.get(metric.name):
                family = _family(metric)
                for labels, value in rows.items():
                    family.add_sample(metric.name, dict(labels), value)
                yield family


def registry_of(samples: Callable[[], Samples]) -> "CollectorRegistry":
    """A registry of these samples alone. Raises MissingExtraError."""
    load_client()
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    registry.register(Collector(samples))
    return registry


def text_of(samples: Samples) -> bytes:
    """The samples in the text format 0.0.4, as a file or a pipe takes them. Raises MissingExtraError."""
    registry = registry_of(lambda: samples)
    from prometheus_client import generate_latest

    return generate_latest(registry)


def load_client() -> None:
    """Import prometheus-client. Raises MissingExtraError."""
    try:
        import prometheus_client  # noqa: F401 - to learn whether it is there
    except ImportError:
        raise MissingExtraError("metrics", "prometheus-client", "exporting metrics") from None


def _family(metric: Metric) -> "Family":
    from prometheus_client.metrics_core import Metric as Family

    kind, suffix = _TYPES[metric.kind]
    return Family(metric.name.removesuffix(suffix), metric.help, kind)
