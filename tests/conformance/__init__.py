"""What an AMQP client may rely on, asked of Leveret and of RabbitMQ alike, with real clients."""
