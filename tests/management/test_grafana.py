"""Grafana's RabbitMQ-Overview (dashboard 10991, of RabbitMQ 4.3): whatever its panels ask Prometheus for stands at /metrics.

The lists are what its JSON names; the JSON itself is not here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokers import Leveret
from management.test_metrics import read

ASKED = (
    *("build_info", "channels", "channels_closed_total", "channels_opened_total", "connections"),
    *("connections_closed_total", "connections_opened_total", "disk_space_available_bytes"),
    *("disk_space_available_limit_bytes", "erlang_uptime_seconds", "global_consumers"),
    *("global_messages_acknowledged_total", "global_messages_confirmed_total"),
    *("global_messages_delivered_consume_auto_ack_total", "global_messages_delivered_consume_manual_ack_total"),
    *("global_messages_delivered_get_auto_ack_total", "global_messages_delivered_get_manual_ack_total"),
    *("global_messages_delivered_total", "global_messages_get_empty_total", "global_messages_received_confirm_total"),
    *("global_messages_received_total", "global_messages_redelivered_total", "global_messages_routed_total"),
    *("global_messages_unroutable_dropped_total", "global_messages_unroutable_returned_total", "global_publishers"),
    *("identity_info", "message_size_bytes_bucket", "message_size_bytes_count", "message_size_bytes_sum"),
    *("process_max_fds", "process_open_fds", "process_resident_memory_bytes", "queue_messages_ready"),
    *("queue_messages_unacked", "queues", "queues_created_total", "queues_declared_total", "queues_deleted_total"),
    "resident_memory_limit_bytes",
)
LABELS = {
    "identity_info": {"rabbitmq_node", "rabbitmq_cluster", "rabbitmq_endpoint"},
    "build_info": {"rabbitmq_version", "erlang_version"},
}
"""The others are chosen by no label but those that Prometheus adds (instance, job, namespace)."""

NOT_THERE = {"message_size_bytes_bucket", "message_size_bytes_count", "message_size_bytes_sum"}
"""RabbitMQ 4.1's histogram: it would have every message counted by its size. Its two panels stay empty."""


@pytest.fixture(scope="module")
def told() -> Iterator[Leveret]:
    own = Leveret(management=True, metrics=True)
    own.start()
    yield own
    own.remove()


def samples(text: str) -> dict[str, str]:
    """By name, what stands in the braces of the first one."""
    rows = [line.rpartition(" ")[0].partition("{") for line in text.splitlines() if line[:1] not in ("", "#")]
    return {name.removeprefix("rabbitmq_"): labels.rstrip("}") for name, _, labels in reversed(rows)}


def test_all_that_its_panels_ask_for_is_told_but_for_what_is_listed(told: Leveret) -> None:
    found = samples(read(told.metrics_port)[0])
    assert {name for name in ASKED if name not in found} == NOT_THERE


def test_the_labels_by_which_it_chooses_are_there(told: Leveret) -> None:
    found = samples(read(told.metrics_port)[0])
    for name, wanted in LABELS.items():
        assert wanted <= {one.partition("=")[0] for one in found[name].split(",")}, name


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/metrics", "aggregated"),
        ("/metrics/per-object", "per-object"),
        ("/metrics/detailed?family=queue_coarse_metrics", "detailed"),
    ],
)
def test_each_endpoint_says_which_it_is(told: Leveret, path: str, endpoint: str) -> None:
    assert f'rabbitmq_endpoint="{endpoint}"' in samples(read(told.metrics_port, path)[0])["identity_info"]
