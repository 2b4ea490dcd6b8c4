"""A Valkey, its replica, and three Sentinels."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import redis

from imsg_testing.processes import Process
from imsg_testing.servers import Server, Valkey, reserve_port
from imsg_testing.servers.valkey import valkey_binary

NAME = "imsg-main"
SENTINELS = 3
QUORUM = 2
DOWN_AFTER_MS = 5_000
"""Longer than a busy machine stops a server: none is taken for dead that lives."""

WITHIN_S = 60.0


class Sentinel(Server):
    """One of the Sentinels."""

    def __init__(self, master: Valkey, down_after_ms: int) -> None:
        super().__init__()
        self._master = master
        self._down_after_ms = down_after_ms
        self._port = 0

    @property
    def url(self) -> str:
        """Its URL for a Redis client."""
        return f"redis://127.0.0.1:{self._port}"

    def _prepare(self) -> Process:
        self._port = reserve_port(self)
        file = self.folder / "sentinel.conf"
        file.write_text(
            f"bind 127.0.0.1\nport {self._port}\ndir {self.folder}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {urlsplit(self._master.url).port} {QUORUM}\n"
            f"sentinel down-after-milliseconds {NAME} {self._down_after_ms}\n"
            f"sentinel failover-timeout {NAME} 3000\n",
            encoding="utf-8",
        )
        return Process([valkey_binary(), str(file), "--sentinel"], log=self.folder / "log")

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            return bool(client.ping())
        return False


@dataclass(frozen=True, slots=True)
class Watched:
    """A master, its replica, and the Sentinels."""

    master: Valkey
    replica: Valkey
    sentinels: tuple[Sentinel, ...]

    @property
    def url(self) -> str:
        """As IMSG_REDIS_URL names them."""
        hosts = ",".join(urlsplit(sentinel.url).netloc for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}"

    def are_ready(self) -> bool:
        """Whether each Sentinel knows the replica and the others: before that, none may fail over."""
        return all(_is_informed(sentinel) for sentinel in self.sentinels)

    def master_port(self) -> int:
        """Return the master's port, as the first Sentinel that answers knows it."""
        for sentinel in self.sentinels:
            with contextlib.suppress(redis.RedisError), redis.Redis.from_url(sentinel.url) as client:
                return int(client.sentinel_get_master_addr_by_name(NAME)[1])
        raise RuntimeError("no Sentinel answers")


def follow(replica: Valkey, master: Valkey | None) -> None:
    """Make a server the replica of another, or a master, as an operator does."""
    host, port = ("NO", "ONE") if master is None else ("127.0.0.1", str(urlsplit(master.url).port))
    with redis.Redis.from_url(replica.url) as client:
        client.execute_command("REPLICAOF", host, port)


@contextlib.contextmanager
def watched(down_after_ms: int = DOWN_AFTER_MS) -> Iterator[Watched]:
    """Run them for as long as the context lasts; a master that is silent for so long is taken for dead."""
    with contextlib.ExitStack() as stack:
        master, replica = (stack.enter_context(Valkey()) for _ in range(2))
        follow(replica, master)
        sentinels = [stack.enter_context(Sentinel(master, down_after_ms)) for _ in range(SENTINELS)]
        found = Watched(master, replica, tuple(sentinels))
        deadline = time.monotonic() + WITHIN_S
        while not found.are_ready():
            if time.monotonic() > deadline:
                raise RuntimeError("the Sentinels did not find one another in time")
            time.sleep(0.1)
        yield found


def _is_informed(sentinel: Sentinel) -> bool:
    with contextlib.suppress(redis.RedisError, KeyError), redis.Redis.from_url(sentinel.url) as client:
        state = client.sentinel_master(NAME)
        return int(state["num-slaves"]) == 1 and int(state["num-other-sentinels"]) == SENTINELS - 1
    return False
