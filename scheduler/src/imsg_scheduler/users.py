"""Whether the user of a scheduled job may still send: checked when the job is released."""

from imsg_contract.topology import user_key
from imsg_contract.wire import Job
from imsg_runtime.redis import Redis
from imsg_web.service_client import Peer, ServiceFailed, ServiceUnavailable

OK, NOT_FOUND = 200, 404


class Users:
    """Looks up users in the user cache; auth writes one that is not there."""

    def __init__(self, redis: Redis, auth: Peer) -> None:
        self._redis = redis
        self._auth = auth

    async def may_send(self, job: Job) -> bool:
        """Return whether the job's user is still there and may send.

        Raises ServiceUnavailable, RedisUnavailable, RedisRefused.
        """
        user_id, available = await self._read(job.username)
        if user_id is None:
            answer = await self._auth.call("POST", "/internal/user-cache", json={"username": job.username})
            if answer.status_code == NOT_FOUND and answer.json()["reason"] == "no_such_user":
                return False
            if answer.status_code != OK:
                raise ServiceFailed(f"auth answered {answer.status_code} to /internal/user-cache")
            user_id, available = await self._read(job.username)
            if user_id is None:
                raise ServiceUnavailable("auth did not write the user into the cache")
        return user_id.decode() == job.user_id and available == b"1"

    async def _read(self, username: str) -> tuple[bytes | None, bytes | None]:
        user_id, available = await self._redis.call("HMGET", user_key(username), "id", "available")
        return user_id, available
