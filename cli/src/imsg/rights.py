"""The rights of each service at Redis and RabbitMQ, as an ACL file and as definitions."""

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
    BACKED_UP,
    BACKING_UP,
    CANCELS,
    CAPS,
    CHANGE,
    DEAD,
    ERASED,
    EVENT,
    INBOUND,
    LEG,
    OUTCOME,
    PRICES,
    PROGRESS,
    QUOTAS_OF_ALL,
    RECEIPT,
    REPLICAS,
    RESCHEDULE,
    SCHEDULE,
    TEMPLATES,
    THRESHOLDS,
    TOMBSTONES,
    WINDOWS,
    WRITABLE,
    Lane,
    Topology,
    accounts_key,
    addresses_key,
    approved_key,
    attention_key,
    capped_key,
    channel_key,
    followers_key,
    kinds_key,
    left_key,
    names_key,
    next_due_key,
    no_provider_key,
    pace_key,
    provider_answers_key,
    provider_calls_key,
    providers_key,
    recorded_key,
    retry_after_key,
    route_limits_key,
    suppressed_key,
    switches_key,
    template_limits_key,
    user_key,
)
from imsg_runtime.settings import StartError

PREFIX = "imsg-"
"""The prefix of the users' names, such as `imsg-gateway`: a server may have other users than iMSG's."""

ADMINISTRATOR = "imsg"
"""The user of operators at Redis, RabbitMQ and PostgreSQL; no service uses it."""

ANY = "*"


DEFAULT_USER = "user default off resetpass sanitize-payload ~* &* +@all"
"""Redis' default user: disabled and without a password, but with every right.

Redis 8.0 and others replay the append-only file as this user, and silently drop a script's writes where the user may
not write (redis/redis#14541): without these rights all limits and claims would be lost at every start.
"""


@dataclass(frozen=True, slots=True)
class RedisRights:
    """Patterns of keys, and commands beside those of all services."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RabbitRights:
    """Regular expressions, as `rabbitmqctl set_permissions` takes them; `topics` are the allowed routing keys."""

    configure: str = "^$"
    write: str = "^$"
    read: str = "^$"
    topics: str = "^$"
    tags: tuple[str, ...] = ()


def _make_sender_redis_rights(channel: ChannelSpec) -> RedisRights:
    """Return a sender's rights: its channel's keys, and all claims, whose keys name a message and no channel."""
    published = [channel_key(channel.name), no_provider_key(channel.name), template_limits_key(channel.name)]
    published += [route_limits_key(channel.name), approved_key(channel.name)]
    published += [
        names_key(channel.name),
        providers_key(channel.name),
        retry_after_key(channel.name),
        pace_key(channel.name, ANY),
        kinds_key(channel.name),
        attention_key(channel.name),
        provider_calls_key(channel.name),
        provider_answers_key(channel.name),
    ]
    if channel.publishes_addresses:
        published.append(addresses_key(channel.name))
    return RedisRights(
        reads=(
            TOMBSTONES,
            CANCELS,
            CAPS,
            suppressed_key(channel.name),
            switches_key(channel.name),
            accounts_key(channel.name),
        ),
        writes=("imsg:ledger:*", capped_key(channel.name, ANY), *published, *channel.redis_keys),
        also=channel.redis_commands,
    )


AT_REDIS: Mapping[str, RedisRights] = {
    "gateway": RedisRights(
        reads=(
            user_key(ANY),
            QUOTAS_OF_ALL,
            CAPS,
            WINDOWS,
            capped_key(ANY, ANY),
            PRICES,
            TEMPLATES,
            followers_key(ANY),
            left_key(ANY),
            no_provider_key(ANY),
            template_limits_key(ANY),
            route_limits_key(ANY),
            approved_key(ANY),
            addresses_key(ANY),
            suppressed_key(ANY),
            providers_key(ANY),
            attention_key(ANY),
            names_key(ANY),
            BACKED_UP,
        ),
        writes=(
            channel_key(ANY),
            next_due_key(ANY),
            THRESHOLDS,
            "imsg:used:*",
            "imsg:refunded:*",
            "imsg:replay:*",
            "imsg:resent:*",
            "imsg:tally:*",
        ),
    ),
    "auth": RedisRights(
        reads=(kinds_key(ANY), attention_key(ANY)),
        writes=(
            user_key(ANY),
            QUOTAS_OF_ALL,
            CAPS,
            THRESHOLDS,
            WINDOWS,
            switches_key(ANY),
            accounts_key(ANY),
            provider_calls_key(ANY),
            provider_answers_key(ANY),
            "imsg:used:*",
            "imsg:fence:*",
            "imsg:tally:*",
            "imsg:login-known:*",
            "imsg:session:*",
            "imsg:session-of:*",
            "imsg:sessions:*",
        ),
        also=("scan", "smembers", "zremrangebyrank", "lrange", "lrem"),
    ),
    "history": RedisRights(
        reads=(ERASED, PRICES, channel_key(ANY)),
        writes=(TOMBSTONES, BACKING_UP, recorded_key(ANY), "imsg:ledger:*", "imsg:replay:*"),
        also=("scan", "info", "bgrewriteaof"),
    ),
    "callbacks": RedisRights(
        reads=(channel_key(ANY), attention_key(ANY), TOMBSTONES), writes=(ERASED, recorded_key(ANY))
    ),
    "scheduler": RedisRights(
        reads=(user_key(ANY), TOMBSTONES, WINDOWS),
        writes=(ERASED, CANCELS, next_due_key(ANY), "imsg:ledger:*", "imsg:used:*", "imsg:refunded:*"),
    ),
    "catalog": RedisRights(
        reads=(TOMBSTONES, template_limits_key(ANY), route_limits_key(ANY), approved_key(ANY)),
        writes=(suppressed_key(ANY), PRICES, TEMPLATES, ERASED, recorded_key(ANY)),
    ),
    **{channel.service: _make_sender_redis_rights(channel) for channel in CHANNELS},
}
"""Redis separates by key and command, not by message: every sender sees all claims, and `scan` lists all keys."""

SHARED = (WRITABLE, REPLICAS)
"""The keys that every service writes: that Redis takes writes, and that a replica runs."""

COMMON = ("ping", "time", "select", "hello", "client|setinfo", "client|setname", "client|id", "eval", "evalsha")
READS = (
    "get",
    "mget",
    "exists",
    "ttl",
    "pttl",
    "hget",
    "hmget",
    "hgetall",
    "hkeys",
    "hlen",
    "hexists",
    "sismember",
    "zrange",
    "zscore",
)
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
    "rpush",
    "ltrim",
    "zadd",
    "zremrangebyscore",
)
"""The commands of the services' calls and scripts; Redis checks each command of a script."""


_LANES = "|".join(Lane)


def _make_sender_rabbit_rights(channel: ChannelSpec) -> RabbitRights:
    topology = Topology(methods=METHODS)
    keys = [OUTCOME, RECEIPT, INBOUND, DEAD, *([CHANGE] if channel.has_accounts else [])]
    return RabbitRights(
        write=f"^({topology.exchange}|amq\\.default)$",
        read=f"^{topology.prefix}\\.{channel.name}\\.({_LANES})$",
        topics=f"^({'|'.join(keys)})$",
    )


_JOBS = rf"job\.({'|'.join(METHODS)})\.({_LANES})"

AT_RABBIT: Mapping[str, RabbitRights] = {
    "gateway": RabbitRights(write="^imsg$", topics=f"^({_JOBS}|{SCHEDULE}|{CHANGE})$", tags=("management",)),
    "auth": RabbitRights(write="^imsg$", topics=f"^({CHANGE}|{EVENT}|job[.]smtp[.]normal)$"),
    "history": RabbitRights(
        configure=r"^imsg($|\.)",
        write=r"^(imsg($|\..*)|amq\.default)$",
        read=r"^imsg($|\.)",
        topics=f"^({DEAD}|{EVENT}|{LEG})$",
        tags=("management",),
    ),
    "callbacks": RabbitRights(
        write="^imsg$",
        read=rf"^{Topology(methods=METHODS).callbacks.replace('.', '[.]')}$",
        topics=f"^({CHANGE}|{DEAD})$",
        tags=("management",),
    ),
    "catalog": RabbitRights(
        write="^imsg$", read=r"^imsg\.catalog$", topics=f"^({CHANGE}|{DEAD})$", tags=("management",)
    ),
    "scheduler": RabbitRights(
        write="^imsg$",
        read=r"^imsg\.(schedule|legs)$",
        topics=f"^({_JOBS}|{RESCHEDULE}|{PROGRESS}|{OUTCOME}|{CHANGE}|{DEAD})$",
    ),
    **{channel.service: _make_sender_rabbit_rights(channel) for channel in CHANNELS},
}
"""History declares the queues for all services. Chunks and retries are published to `amq.default`: RabbitMQ lets a
user who may write there write into any queue."""

SERVICES = tuple(AT_REDIS)


def acl(folder: Path) -> str:
    """Return Redis' ACL file: a line for the user of each service and for the administrator, and no other.

    The passwords are the files `SERVICE_redis_password` (`-` written `_`) and `redis_password` of the folder; the ACL
    file has their SHA-256. Raises StartError for one that can't be read.
    """
    lines = [acl_line(service, password(folder, service, "redis")) for service in SERVICES]
    lines.append(f"user {ADMINISTRATOR} on #{_digest(_read(folder / 'redis_password'))} ~* &* +@all")
    return "\n".join([DEFAULT_USER, *lines]) + "\n"


def acl_line(service: str, secret: str) -> str:
    """Return the line of one service's user."""
    rights = AT_REDIS[service]
    digest = _digest(secret)
    # Redis allows a script by its KEYS, whether it writes them or not: so the root permissions name all of them.
    # It then checks each command of the script; the selector limits the keys that writing commands may touch.
    known = " ".join(f"~{pattern}" for pattern in (*rights.reads, *rights.writes, *SHARED))
    reading = " ".join(f"+{command}" for command in (*COMMON, *READS, *READS_OF_SETS, *rights.also))
    written = " ".join(f"~{pattern}" for pattern in (*rights.writes, *SHARED))
    writing = " ".join(f"+{command}" for command in WRITES)
    root = f"on #{digest} sanitize-payload resetchannels -@all {known} {reading}"
    return f"user {PREFIX}{service} {root} (resetchannels -@all {written} {writing})"


def definitions(folder: Path, vhost: str = "/") -> str:
    """Return RabbitMQ's definitions of the services' users and their rights, for `import_definitions`.

    The passwords are the files `SERVICE_rabbit_password` of the folder; the definitions have their salted SHA-256. The
    import updates these users and leaves others alone. Raises StartError for a password that can't be read.
    """
    users = [_user(service, password(folder, service, "rabbit")) for service in SERVICES]
    permissions = [
        {"user": f"{PREFIX}{name}", "vhost": vhost, **_permissions(rights)} for name, rights in AT_RABBIT.items()
    ]
    topics = [
        {
            "user": f"{PREFIX}{name}",
            "vhost": vhost,
            "exchange": Topology(methods=METHODS).exchange,
            "write": rights.topics,
            "read": ".*",
        }
        for name, rights in AT_RABBIT.items()
    ]
    return json.dumps({"users": users, "permissions": permissions, "topic_permissions": topics}, indent=2) + "\n"


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
            "{0} can't be read ({1}); write it by `imsg secrets KEPT --derive {2}`.",
            path,
            error.strerror,
            path.parent,
        ) from error


def _permissions(rights: RabbitRights) -> dict[str, str]:
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
