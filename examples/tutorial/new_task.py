"""Send one task to the queue `task_queue`: python new_task.py A slow task...

Every dot is a second of work. The queue is durable and the message persistent: both survive a restart of the broker.
"""

import os
import sys

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/%2F")
message = " ".join(sys.argv[1:]) or "Hello World!"

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue="task_queue", durable=True)
channel.confirm_delivery()
channel.basic_publish(
    exchange="",
    routing_key="task_queue",
    body=message.encode(),
    properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent),
)
print(f" [x] Sent {message}")
connection.close()
