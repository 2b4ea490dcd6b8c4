"""What each service may do at Redis and at RabbitMQ, as these servers are told: ACL lines, and definitions."""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imsg_channels import CHANNELS, METHODS
from imsg_channels.spec import ChannelSpec
from imsg_contract.topology import (
    BACKING_UP,
    CHANGE,
    DEAD,
    ERASED,
    EVENT,
    INBOUND,
    OUTCOME,
    RECEIPT,
    RECORDED,
    TOMBSTONES,
    WRITABLE,
    Lane,
    Topology,
    addresses_key,
    channel_key,
    followers_key,
    left_key,
    names_key,
    no_provider_key,
    pace_key,
    providers_key,
    retry_after_key,
    route_limits_key,
    suppressed_key,
    switches_key,
    template_limits_key,
    user_key,
)
from imsg_runtime.settings import StartError

PREFIX = "imsg-"
"""Of the names of users: `imsg-gateway`. One server may serve others than iMSG."""

ADMINISTRATOR = "imsg"
"""Whom operators are at Redis, as at RabbitMQ and PostgreSQL; no service is."""

ANY = "*"


NOBODY = "user default off resetpass sanitize-payload ~* &* +@all"
"""Redis' default user: off and without a password, so nobody can be it, but with every right.

Redis 8.0 and others play the append-only file back as this user, and silently drop what a script wrote in several
steps where the user may not write it (redis/redis#14541): at every start all limits and claims would be gone.
"""


@dataclass(frozen=True, slots=True)
class AtRedis:
    """Patterns of keys, and commands beside those that everybody has."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AtRabbit:
    """Regular expressions, as `rabbitmqctl set_permissions` takes them; `topics` are the keys to publish under."""

    configure: str = "^$"
    write: str = "^$"
    read: str = "^$"
    topics: str = "^$"
    tags: tuple[str, ...] = ()


def _sender_at_redis(channel: ChannelSpec) -> AtRedis:
    """Its channel's state and the claims; the keys of claims name a message, not its channel."""
    told = [channel_key(channel.name), no_provider_key(channel.name), template_limits_key(channel.name)]
    told += [route_limits_key(channel.name)]
    told += [
        names_key(channel.name),
        providers_key(channel.name),
        retry_after_key(channel.name),
        pace_key(channel.name, ANY),
    ]
    if channel.publishes_addresses:
        told.append(addresses_key(channel.name))
    return AtRedis(
        reads=(TOMBSTONES, suppressed_key(channel.name), switches_key(channel.name)),
        writes=("imsg:ledger:*", *told, *channel.redis_keys),
        also=channel.redis_commands,
    )


AT_REDIS: Mapping[str, AtRedis] = {
    "gateway": AtRedis(
        reads=(
            user_key(ANY),
            followers_key(ANY),
            left_key(ANY),
            no_provider_key(ANY),
            template_limits_key(ANY),
            route_limits_key(ANY),
            addresses_key(ANY),
            suppressed_key(ANY),
            providers_key(ANY),
            names_key(ANY),
        ),
        writes=(channel_key(ANY), "imsg:used:*", "imsg:replay:*", "imsg:resent:*", "imsg:tally:*"),
    ),
    "auth": AtRedis(
        writes=(user_key(ANY), switches_key(ANY), "imsg:used:*", "imsg:fence:*", "imsg:tally:*", "imsg:login-known:*"),
        also=("scan", "zadd", "zscore", "zremrangebyrank"),
    ),
    "history": AtRedis(
        reads=(ERASED, channel_key(ANY)),
        writes=(TOMBSTONES, BACKING_UP, RECORDED, "imsg:ledger:*", "imsg:replay:*"),
        also=("scan", "info", "bgrewriteaof"),
    ),
    "callbacks": AtRedis(reads=(channel_key(ANY), TOMBSTONES, RECORDED), writes=(ERASED,)),
    "catalog": AtRedis(reads=(TOMBSTONES,), writes=(suppressed_key(ANY), ERASED)),
    **{channel.service: _sender_at_redis(channel) for channel in CHANNELS},
}
"""Redis parts by key and by command, not by which message: whoever sends sees all claims, and `scan` names all keys."""

EVERYBODY = ("ping", "time", "select", "hello", "client|setinfo", "client|setname", "client|id", "eval", "evalsha")
READS = ("get", "mget", "exists", "ttl", "pttl", "hget", "hmget", "hgetall", "hkeys", "hlen", "hexists", "sismember")
READS_OF_SETS = ("smismember", "smembers", "scard", "sscan", "type")
WRITES = (
    "set",
    "del",
    "unlink",
    "expire",
    "pexpire",
    "pexpireat",
    "hset",
    "hsetnx",
    "hdel",
    "hincrby",
    "incrby",
    "sadd",
    "srem",
)
"""What the services' calls and scripts are made of; a script's commands are checked one by one, as if called."""


_LANES = "|".join(Lane)


def _sender_at_rabbit(method: str) -> AtRabbit:
    topology = Topology(methods=METHODS)
    return AtRabbit(
        write=f"^({topology.exchange}|amq\\.default)$",
        read=f"^{topology.prefix}\\.{method}\\.({_LANES})$",
        topics=f"^({OUTCOME}|{RECEIPT}|{INBOUND}|{DEAD})$",
    )


_JOBS = rf"job\.({'|'.join(METHODS)})\.({_LANES})"

AT_RABBIT: Mapping[str, AtRabbit] = {
    "gateway": AtRabbit(write="^imsg$", topics=f"^({_JOBS}|{CHANGE})$", tags=("management",)),
    "auth": AtRabbit(write="^imsg$", topics=f"^{CHANGE}$"),
    "history": AtRabbit(
        configure=r"^imsg($|\.)",
        write=r"^(imsg($|\..*)|amq\.default)$",
        read=r"^imsg($|\.)",
        topics=f"^({DEAD}|{EVENT})$",
        tags=("management",),
    ),
    "callbacks": AtRabbit(
        write="^imsg$", read=rf"^{Topology(methods=METHODS).callbacks.replace('.', '[.]')}$", topics=f"^{DEAD}$"
    ),
    "catalog": AtRabbit(write="^imsg$", read=r"^imsg\.catalog$", topics=f"^({CHANGE}|{DEAD})$"),
    **{channel.service: _sender_at_rabbit(channel.name) for channel in CHANNELS},
}
"""History declares, for all. What goes past the exchange, parts and retries, goes through `amq.default`: whoever may
write there can write into any queue, which RabbitMQ can't part."""

SERVICES = tuple(AT_REDIS)


def acl(folder: Path) -> str:
    """Write Redis' ACL file: a line for each service's user and the administrator's, and nobody else gets in.

    Passwords are the files `SERVICE_redis_password` (`-` written `_`) and `redis_password` of the folder; they stand
    there as SHA-256.
    Raises StartError where one can't be read.
    """
    lines = [acl_line(service, password(folder, service, "redis")) for service in SERVICES]
    lines.append(f"user {ADMINISTRATOR} on #{_digest(_read(folder / 'redis_password'))} ~* &* +@all")
    return "\n".join([NOBODY, *lines]) + "\n"


def acl_line(service: str, secret: str) -> str:
    """Write the line of one service's user."""
    rights = AT_REDIS[service]
    digest = _digest(secret)
    # A script is let run by the keys that it is given, whether it writes them or not: so these stand at the root. Its
    # commands are then checked by themselves, and those that write have keys of their own in the selector.
    known = " ".join(f"~{pattern}" for pattern in (*rights.reads, *rights.writes, WRITABLE))
    reading = " ".join(f"+{command}" for command in (*EVERYBODY, *READS, *READS_OF_SETS, *rights.also))
    written = " ".join(f"~{pattern}" for pattern in (*rights.writes, WRITABLE))
    writing = " ".join(f"+{command}" for command in WRITES)
    root = f"on #{digest} sanitize-payload resetchannels -@all {known} {reading}"
    return f"user {PREFIX}{service} {root} (resetchannels -@all {written} {writing})"


def definitions(folder: Path, vhost: str = "/") -> str:
    """Write RabbitMQ's definitions of the services' users and their rights, as `import_definitions` takes them.

    Passwords are the files `SERVICE_rabbit_password` of the folder; they stand there salted, as SHA-256. Users that
    exist are set right, others are left alone. Raises StartError where a password can't be read.
    """
    users = [_user(service, password(folder, service, "rabbit")) for service in SERVICES]
    rights = [{"user": f"{PREFIX}{name}", "vhost": vhost, **_permissions(one)} for name, one in AT_RABBIT.items()]
    topics = [
        {
            "user": f"{PREFIX}{name}",
            "vhost": vhost,
            "exchange": Topology(methods=METHODS).exchange,
            "write": one.topics,
            "read": ".*",
        }
        for name, one in AT_RABBIT.items()
    ]
    return json.dumps({"users": users, "permissions": rights, "topic_permissions": topics}, indent=2) + "\n"


def password(folder: Path, service: str, server: str) -> str:
    """Read the password of a service's user at a server. Raises StartError."""
    return _read(folder / f"{service.replace('-', '_')}_{server}_password")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise StartError(
            f"{path} can't be read ({error.strerror}); make it by `imsg secrets {path.parent}`."
        ) from error


def _permissions(rights: AtRabbit) -> dict[str, str]:
    return {"configure": rights.configure, "write": rights.write, "read": rights.read}


def _user(service: str, secret: str) -> dict[str, Any]:
    salt = secrets.token_bytes(4)
    hashed = base64.b64encode(salt + hashlib.sha256(salt + secret.encode()).digest()).decode()
    return {
        "name": f"{PREFIX}{service}",
        "password_hash": hashed,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": list(AT_RABBIT[service].tags),
        "limits": {},
    }
