"""Take tasks from the queue `task_queue`, one at a time, and work a second for each dot in them.

A task is acknowledged when it is done; if this process dies before, the broker gives it to another worker.
"""

import os
import sys
import time

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/%2F")

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue="task_queue", durable=True)
print(" [*] Waiting for messages. To exit press CTRL+C", flush=True)


def work(channel, method, properties, body):
    print(f" [x] Received {body.decode()}", flush=True)
    time.sleep(body.count(b"."))
    print(" [x] Done", flush=True)
    channel.basic_ack(delivery_tag=method.delivery_tag)


channel.basic_qos(prefetch_count=1)
channel.basic_consume(queue="task_queue", on_message_callback=work)
try:
    channel.start_consuming()
except KeyboardInterrupt:
    connection.close()
    sys.exit(0)
