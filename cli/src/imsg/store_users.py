"""The users of all services at a running Redis and RabbitMQ: made, and given their rights, as the administrator."""

import json

import httpx

from imsg import rights
from imsg_broker.rabbitmq.address import parse
from imsg_runtime import redis
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.settings import StartError, variable

TIMEOUT_S = 30.0


async def give_at_redis(url: str, acl: str) -> None:
    """Set each service's user to what the ACL file says; other users stay, and so do connections. Raises StartError."""
    async with redis.connect(url) as server:
        try:
            for line in acl.splitlines():
                _, name, *words = line.split(" ")
                if name.startswith(rights.PREFIX):
                    await server.call("ACL", "SETUSER", name, "reset", *_join_selector(words))
        except (RedisRefused, RedisUnavailable) as error:
            raise StartError(f"the services' users can't be set at {variable('redis_url')}: {error}.") from error


def give_at_rabbitmq(url: str, definitions: str) -> None:
    """Import the definitions; other users stay, and so do connections. Raises StartError."""
    address = parse(url)
    management = httpx.URL(address.management(address.hosts[0])).copy_with(path="/api/definitions")
    verify = True if address.tls is None else address.tls.context()
    try:
        with httpx.Client(auth=(address.username, address.password), verify=verify, trust_env=False) as client:
            client.post(management, json=json.loads(definitions), timeout=TIMEOUT_S).raise_for_status()
    except httpx.HTTPError as error:
        raise StartError(
            f"the services' users can't be set at the management API of {variable('broker_url')}: {error}."
        ) from error


def _join_selector(words: list[str]) -> list[str]:
    """Return the words with the selector as one word, as SETUSER expects it."""
    joined = " ".join(words)
    root, _, selector = joined.partition(" (")
    return [*root.split(), *([f"({selector}"] if selector else [])]
