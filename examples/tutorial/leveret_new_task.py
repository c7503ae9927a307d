"""The tutorial's sender with Leveret's own client: python leveret_new_task.py A slow task...

Every dot is a second of work. It returns when the broker has confirmed that the task is on disk.
"""

import os
import sys

from leveret.client.blocking import connect_blocking
from leveret.wire.properties import BasicProperties

url = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/%2F")
message = " ".join(sys.argv[1:]) or "Hello World!"

connection = connect_blocking(url)
channel = connection.channel(confirms=True)
channel.queue_declare("task_queue", durable=True)
channel.publish(message.encode(), routing_key="task_queue", properties=BasicProperties(delivery_mode=2))
print(f" [x] Sent {message}")
connection.close()
