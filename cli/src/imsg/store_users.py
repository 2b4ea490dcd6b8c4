"""Creates the services' users at a running Redis and RabbitMQ and gives them their rights, as administrator."""

import asyncio
import json
from functools import partial
from http import HTTPStatus

import httpx

from imsg import rights
from imsg_broker.rabbitmq.address import parse
from imsg_database.startup import wait_for
from imsg_runtime import redis
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_runtime.settings import StartError, variable

TIMEOUT_S = 30.0


async def give_at_redis(url: str, acl: str) -> None:
    """Set each service's user to what the ACL file says; other users stay, and so do connections.

    A server that is just starting is waited for. Raises StartError.
    """
    what = f"Redis at {variable('redis_url')}"
    async with redis.connect(url) as server:
        try:
            await wait_for(partial(_set_users, server, acl), what, unavailable=(RedisUnavailable,))
        except RedisRefused as refused:
            raise StartError("{0} refused the services' users: {1}.", what, refused) from refused


async def give_at_rabbitmq(url: str, definitions: str) -> None:
    """Import the definitions; other users stay, and so do connections.

    A node that is just starting is waited for. Raises StartError.
    """
    what = f"the management API of {variable('broker_url')}"
    try:
        call = partial(asyncio.to_thread, import_definitions, url, definitions)
        await wait_for(call, what, unavailable=(httpx.TransportError,))
    except httpx.HTTPStatusError as error:
        raise StartError("{0} refused the services' users: {1}.", what, error) from error


def import_definitions(url: str, definitions: str) -> None:
    """Import definitions once. Raises httpx.TransportError, and httpx.HTTPStatusError where they are refused."""
    address = parse(url)
    management = httpx.URL(address.management(address.hosts[0])).copy_with(path="/api/definitions")
    verify = True if address.tls is None else address.tls.context()
    with httpx.Client(auth=(address.username, address.password), verify=verify, trust_env=False) as client:
        answer = client.post(management, json=json.loads(definitions), timeout=TIMEOUT_S)
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise httpx.TransportError(f"it answered {answer.status_code}")  # while a node starts
    answer.raise_for_status()


async def _set_users(server: Redis, acl: str) -> None:
    for line in acl.splitlines():
        _, name, *words = line.split(" ")
        if name.startswith(rights.PREFIX):
            await server.call("ACL", "SETUSER", name, "reset", *_join_selector(words))


def _join_selector(words: list[str]) -> list[str]:
    """Return the words with the selector as one word, as SETUSER expects it."""
    joined = " ".join(words)
    root, _, selector = joined.partition(" (")
    return [*root.split(), *([f"({selector}"] if selector else [])]
