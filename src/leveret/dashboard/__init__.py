"""The dashboard: a web application for the embedded broker and for RabbitMQ. Nobody but cli imports it."""
