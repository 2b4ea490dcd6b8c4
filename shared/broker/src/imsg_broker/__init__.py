"""The broker: one port, RabbitMQ and Redis Streams behind it."""
