"""Names, types and descriptions of the families that Prometheus reads: those of rabbitmq_prometheus, group by group.

What belongs to Erlang alone (reductions, schedulers, Mnesia's tables, the Raft log) is not there. Values: management/families.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Family(NamedTuple):
    name: str
    """Without the prefix, unless it is `bare`."""
    type: str
    help: str
    bare: bool = False


def counter(name: str, text: str) -> Family:
    return Family(name, "counter", text)


def gauge(name: str, text: str) -> Family:
    return Family(name, "gauge", text)


def total(name: str, text: str) -> Family:
    return counter(name, f"Total number of {text}")


ALARMS: Final = (
    Family("alarms_file_descriptor_limit", "untyped", "is 1 if file descriptor limit alarm is in effect"),
    Family("alarms_free_disk_space_watermark", "untyped", "is 1 if free disk space watermark alarm is in effect"),
    Family("alarms_memory_used_watermark", "untyped", "is 1 if VM memory watermark alarm is in effect"),
)
CHURN: Final = (
    total("connections_opened_total", "connections opened"),
    total("connections_closed_total", "connections closed or terminated"),
    total("channels_opened_total", "channels opened"),
    total("channels_closed_total", "channels closed"),
    total("queues_declared_total", "queues declared"),
    total("queues_created_total", "queues created"),
    total("queues_deleted_total", "queues deleted"),
)
NODE_FIGURES: Final = (
    gauge("process_open_fds", "Open file descriptors"),
    gauge("process_open_tcp_sockets", "Open TCP sockets"),
    gauge("process_resident_memory_bytes", "Memory used in bytes"),
    gauge("disk_space_available_bytes", "Disk space available in bytes"),
    gauge("erlang_processes_used", "Threads used, as there are no Erlang processes"),
    total("erlang_gc_runs_total", "garbage collector runs"),
    total("erlang_gc_reclaimed_bytes_total", "bytes of memory reclaimed by the garbage collector, not known here"),
    total("erlang_scheduler_context_switches_total", "context switches"),
    gauge("process_max_fds", "Open file descriptors limit"),
    gauge("process_max_tcp_sockets", "Open TCP sockets limit"),
    gauge("resident_memory_limit_bytes", "Memory high watermark in bytes"),
    gauge("disk_space_available_limit_bytes", "Free disk space low watermark in bytes"),
    gauge("erlang_processes_limit", "Threads limit"),
    gauge("erlang_scheduler_run_queue", "Erlang scheduler run queue, empty here"),
    gauge("erlang_uptime_seconds", "Node uptime"),
    total("io_read_ops_total", "I/O read operations"),
    total("io_read_bytes_total", "I/O bytes read"),
    total("io_write_ops_total", "I/O write operations"),
    total("io_write_bytes_total", "I/O bytes written"),
    total("io_sync_ops_total", "I/O sync operations"),
    total("io_seek_ops_total", "I/O seek operations"),
    total("io_reopen_ops_total", "times files have been reopened"),
    total("schema_db_ram_tx_total", "Schema DB memory transactions"),
    total("schema_db_disk_tx_total", "Schema DB disk transactions"),
    total("msg_store_read_total", "Message Store read operations"),
    total("msg_store_write_total", "Message Store write operations"),
    total("queue_index_read_ops_total", "Queue Index read operations"),
    total("queue_index_write_ops_total", "Queue Index write operations"),
    counter("io_read_time_seconds_total", "Total I/O read time"),
    counter("io_write_time_seconds_total", "Total I/O write time"),
    counter("io_sync_time_seconds_total", "Total I/O sync time"),
    counter("io_seek_time_seconds_total", "Total I/O seek time"),
)
AUTH: Final = (
    total("auth_attempts_total", "authorization attempts"),
    total("auth_attempts_succeeded_total", "successful authentication attempts"),
    total("auth_attempts_failed_total", "failed authentication attempts"),
)
QUEUE_LENGTHS: Final = (
    gauge("queue_messages_ready", "Messages ready to be delivered to consumers"),
    gauge("queue_messages_unacked", "Messages delivered to consumers but not yet acknowledged"),
    gauge("queue_messages", "Sum of ready and unacknowledged messages - total queue depth"),
)
CONSUMERS: Final = (gauge("queue_consumers", "Consumers on a queue"),)
QUEUE: Final = (
    *CONSUMERS,
    gauge("queue_consumer_capacity", "Consumer capacity"),
    gauge("queue_consumer_utilisation", "Same as consumer capacity"),
    gauge("queue_process_memory_bytes", "Memory in bytes used by the queue, about"),
    gauge("queue_messages_ram", "Ready and unacknowledged messages stored in memory"),
    gauge("queue_messages_ram_bytes", "Size of ready and unacknowledged messages stored in memory"),
    gauge("queue_messages_ready_ram", "Ready messages stored in memory"),
    gauge("queue_messages_unacked_ram", "Unacknowledged messages stored in memory"),
    gauge("queue_messages_bytes", "Size in bytes of ready and unacknowledged messages"),
    gauge("queue_messages_ready_bytes", "Size in bytes of ready messages"),
    gauge("queue_messages_unacked_bytes", "Size in bytes of all unacknowledged messages"),
    gauge("queue_messages_paged_out", "Messages paged out to disk"),
    gauge("queue_messages_paged_out_bytes", "Size in bytes of messages paged out to disk"),
    total("queue_disk_reads_total", "times queue read messages from disk"),
    total("queue_disk_writes_total", "times queue wrote messages to disk"),
)
CHANNEL: Final = (
    gauge("channel_consumers", "Consumers on a channel"),
    gauge("channel_messages_unacked", "Delivered but not yet acknowledged messages"),
    gauge("channel_messages_unconfirmed", "Published but not yet confirmed messages"),
    gauge("channel_messages_uncommitted", "Messages received in a transaction but not yet committed"),
    gauge("channel_acks_uncommitted", "Message acknowledgements in a transaction not yet committed"),
    gauge("consumer_prefetch", "Limit of unacknowledged messages for each consumer"),
    gauge("channel_prefetch", "Total limit of unacknowledged messages for all consumers on a channel"),
)
CHANNEL_COUNTS: Final = (
    total("channel_messages_published_total", "messages published into an exchange on a channel"),
    total("channel_messages_confirmed_total", "messages published into an exchange and confirmed on the channel"),
    total(
        "channel_messages_unroutable_returned_total",
        "messages published as mandatory into an exchange and returned to the publisher as unroutable",
    ),
    total(
        "channel_messages_unroutable_dropped_total",
        "messages published as non-mandatory into an exchange and dropped as unroutable",
    ),
    total("channel_get_ack_total", "messages fetched with basic.get in manual acknowledgement mode"),
    total("channel_get_total", "messages fetched with basic.get in automatic acknowledgement mode"),
    total("channel_messages_delivered_ack_total", "messages delivered to consumers in manual acknowledgement mode"),
    total("channel_messages_delivered_total", "messages delivered to consumers in automatic acknowledgement mode"),
    total("channel_messages_redelivered_total", "messages redelivered to consumers"),
    total("channel_messages_acked_total", "messages acknowledged by consumers"),
    total("channel_get_empty_total", "times basic.get operations fetched no message"),
)
CONNECTION: Final = (
    total("connection_incoming_bytes_total", "bytes received on a connection"),
    total("connection_outgoing_bytes_total", "bytes sent on a connection"),
    total("connection_incoming_packets_total", "packets received on a connection"),
    total("connection_outgoing_packets_total", "packets sent on a connection"),
    gauge("connection_pending_packets", "Number of packets waiting to be sent on a connection"),
    gauge("connection_channels", "Channels on a connection"),
)
PUBLISHED: Final = (total("queue_messages_published_total", "messages published to queues"),)
TOTALS: Final = (
    gauge("connections", "Connections currently open"),
    gauge("channels", "Channels currently open"),
    gauge("consumers", "Consumers currently connected"),
    gauge("queues", "Queues available"),
)
IDENTITY: Final = (
    Family("build_info", "untyped", "Leveret's version, and that of RabbitMQ whose definitions it reads"),
    Family("identity_info", "untyped", "RabbitMQ node & cluster identity info"),
)
START: Final = (
    Family("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", True),
)
GLOBAL: Final = (
    gauge("global_consumers", "Current number of consumers"),
    total("global_messages_confirmed_total", "messages confirmed to publishers"),
    total("global_messages_received_confirm_total", "messages received from publishers expecting confirmations"),
    total("global_messages_received_total", "messages received from publishers"),
    total("global_messages_routed_total", "messages routed to queues or streams"),
    total(
        "global_messages_unroutable_dropped_total",
        "messages published as non-mandatory into an exchange and dropped as unroutable",
    ),
    total(
        "global_messages_unroutable_returned_total",
        "messages published as mandatory into an exchange and returned to the publisher as unroutable",
    ),
    gauge("global_publishers", "Current number of publishers"),
)
GLOBAL_BY_TYPE: Final = (
    total("global_messages_acknowledged_total", "messages acknowledged by consumers"),
    total(
        "global_messages_delivered_consume_auto_ack_total",
        "messages delivered to consumers using basic.consume with automatic acknowledgment",
    ),
    total(
        "global_messages_delivered_consume_manual_ack_total",
        "messages delivered to consumers using basic.consume with manual acknowledgment",
    ),
    total(
        "global_messages_delivered_get_auto_ack_total",
        "messages delivered to consumers using basic.get with automatic acknowledgment",
    ),
    total(
        "global_messages_delivered_get_manual_ack_total",
        "messages delivered to consumers using basic.get with manual acknowledgment",
    ),
    total("global_messages_delivered_total", "messages delivered to consumers"),
    total("global_messages_get_empty_total", "times basic.get operations fetched no message"),
    total("global_messages_redelivered_total", "messages redelivered to consumers"),
)
DEAD: Final = (
    (
        total(
            "global_messages_dead_lettered_delivery_limit_total",
            "messages dead-lettered due to delivery-limit exceeded",
        ),
        "delivery_limit",
    ),
    (
        total("global_messages_dead_lettered_expired_total", "messages dead-lettered due to message TTL exceeded"),
        "expired",
    ),
    (
        total(
            "global_messages_dead_lettered_maxlen_total",
            "messages dead-lettered due to overflow drop-head or reject-publish-dlx",
        ),
        "maxlen",
    ),
    (
        total(
            "global_messages_dead_lettered_rejected_total", "messages dead-lettered due to basic.reject or basic.nack"
        ),
        "rejected",
    ),
)
"""Each with the reason that it counts."""
