"""The broker port on RabbitMQ 4: quorum queues, confirmed and mandatory publishes, connections that come back."""

from imsg_broker.rabbitmq.broker import connect

__all__ = ["connect"]
