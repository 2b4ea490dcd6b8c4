"""Idempotency-Key: a repeated request gets the first answer, and one key never makes two requests.

A key's state is a Redis hash: the body's fingerprint, the request's id, which gateway works on it and until when, and,
once the request is charged, the Job. The lease of a gateway that dies ends; then a repeat goes on with the same id and
the same Job, if there is one.
"""

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imsg_contract.errors import Refusal
from imsg_contract.topology import REPLAYS
from imsg_runtime.redis import Argument, Redis, Script
from imsg_web.callers import Caller
from imsg_web.responses import refuse_value

KEPT_S = 24 * 3_600
LEASE_S = 10.0
"""The lease: how long one step may take before a repeat takes over. Each step renews it."""

WAIT_S = 5.0
LOOK_AGAIN_S = 0.1
OFF_LOOP_CHARACTERS = 256 * 1024

_KEY = re.compile(r"[\x21-\x7e]{1,128}")

_CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_CLAIM = Script.of(
    _CLOCK
    + """
local state = redis.call('HMGET', KEYS[1], 'body', 'id', 'lease', 'answer', 'job', 'settled', 'user')
if state[1] and state[7] ~= ARGV[6] then
  redis.call('DEL', KEYS[1])
  state = {}
end
if not state[1] then
  redis.call('HSET', KEYS[1], 'body', ARGV[1], 'id', ARGV[2], 'owner', ARGV[3], 'lease', now + ARGV[4], 'user', ARGV[6])
  redis.call('EXPIRE', KEYS[1], ARGV[5])
  return {'ours', ARGV[2]}
end
if state[1] ~= ARGV[1] then return {'reused'} end
if state[6] then return {'settled', state[4]} end
if tonumber(state[3]) > now then return {'running'} end
redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'lease', now + ARGV[4])
return {'ours', state[2], state[4], state[5]}
"""
)
"""ARGV: fingerprint, fresh id, owner, lease in ms, life in s, the user's id.

The keys of an earlier user of the same name are ignored.
"""

_STORE_JOB = Script.of(
    _CLOCK
    + """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'lease', now + ARGV[2], 'job', ARGV[3], 'answer', ARGV[4])
return 1
"""
)

_SETTLE = Script.of("""
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'settled', 1, 'answer', ARGV[2])
redis.call('HDEL', KEYS[1], 'job', 'owner', 'lease')
return 1
""")

_RELEASE = Script.of("""
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")

_LEAVE = Script.of("""
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
return redis.call('HSET', KEYS[1], 'lease', 0)
""")


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The Job that an earlier try charged, and may have published, with its answer."""

    job: bytes
    answer: Mapping[str, Any]


class Reservation:
    """A key that this gateway works on, under the request's id."""

    def __init__(self, redis: Redis, key: str, owner: str, request: str, kept: StoredAnswer | None) -> None:
        self.request = request
        self.kept = kept
        self._redis = redis
        self._key = key
        self._owner = owner

    async def store_job(self, job: bytes, answer: Mapping[str, Any]) -> None:
        """Store the Job before it is published. Raises Refusal in_progress where a repeat has taken over."""
        arguments: list[Argument] = [self._owner, round(LEASE_S * 1000), job, json.dumps(answer)]
        if not await self._redis.run(_STORE_JOB, [self._key], arguments):
            raise Refusal("in_progress", retry_after_s=1)

    async def settle(self, answer: Mapping[str, Any]) -> None:
        """Store the answer for all repeats."""
        await self._redis.run(_SETTLE, [self._key], [self._owner, json.dumps(answer)])

    async def release(self) -> None:
        """Delete the key: no request was accepted under it."""
        await self._redis.run(_RELEASE, [self._key], [self._owner])

    async def leave(self) -> None:
        """End the lease, so that the next repeat continues at once under the same id: the outcome is unknown."""
        await self._redis.run(_LEAVE, [self._key], [self._owner])


@dataclass(frozen=True, slots=True)
class Replayed:
    """The answer that the first request got."""

    answer: Mapping[str, Any]


class IdempotencyKeys:
    """The keys of all users."""

    def __init__(self, redis: Redis, wait_s: float = WAIT_S) -> None:
        self._redis = redis
        self._wait_s = wait_s

    async def claim(self, caller: Caller, key: str, fingerprint: str, fresh_id: str) -> Reservation | Replayed:
        """Reserve a key, or return the answer of its first request. Waits while another gateway works on it.

        Raises Refusal key_reused, in_progress; RedisUnavailable.
        """
        name = record_key(caller.username, key)
        owner = secrets.token_hex(8)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._wait_s
        while True:
            arguments: list[Argument] = [fingerprint, fresh_id, owner, round(LEASE_S * 1000), KEPT_S, caller.user_id]
            word, *rest = await self._redis.run(_CLAIM, [name], arguments)
            match word:
                case b"ours":
                    return Reservation(self._redis, name, owner, rest[0].decode(), _read_kept(rest[1:]))
                case b"settled":
                    return Replayed(json.loads(rest[0]))
                case b"reused":
                    raise Refusal("key_reused")
            if loop.time() >= end:
                raise Refusal("in_progress", retry_after_s=1)
            await asyncio.sleep(LOOK_AGAIN_S)


def record_key(username: str, key: str) -> str:
    """Return the name of a key's record, with a digest: clients may write addresses into keys."""
    return f"{REPLAYS}{username}:{hashlib.sha256(key.encode()).hexdigest()}"


def _read_kept(rest: list[bytes | None]) -> StoredAnswer | None:
    if len(rest) < 2 or rest[0] is None or rest[1] is None:  # noqa: PLR2004  answer and job
        return None
    return StoredAnswer(rest[1], json.loads(rest[0]))


def read_key(header: str) -> str:
    """Read the Idempotency-Key header. Raises Refusal wrong_type."""
    if not _KEY.fullmatch(header):
        raise refuse_value(
            "Idempotency-Key", "须为 1 到 128 个可见 ASCII 字符", "it must be 1 to 128 visible ASCII characters"
        )
    return header


async def fingerprint(path: str, fields: Mapping[str, Any], size: int) -> str:
    """Return the digest by which repeats are the same request: of its URL and its fields without the token."""
    if size > OFF_LOOP_CHARACTERS:
        return await asyncio.to_thread(_fingerprint, path, fields)
    return _fingerprint(path, fields)


def _fingerprint(path: str, fields: Mapping[str, Any]) -> str:
    text = json.dumps([path, fields], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
