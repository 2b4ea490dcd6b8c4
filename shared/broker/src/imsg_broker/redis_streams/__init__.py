"""The broker port on Redis Streams, for one host: durable where the server's append-only file is fsynced always."""

from imsg_broker.redis_streams.broker import connect

__all__ = ["connect"]
