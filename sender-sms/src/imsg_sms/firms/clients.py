"""HTTP to a firm: a few clients in turn, and the one place where httpx' errors become what they mean."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle

import httpx

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 10.0
"""Aliyun asks for at least a second; a call for 1,000 numbers takes longer."""

SHARDS = 4
CONNECTIONS = 8
"""Of each client: one client with all connections spends its time in its own pool (measured: an eighth of this)."""

IDLE_S = 3.0
"""Shorter than servers keep a connection, or a call meets one that is just being closed, and nobody knows its fate."""


class NotSent(Exception):  # noqa: N818  named for the outcome
    """The firm was not reached: it certainly has nothing."""


class NoAnswer(Exception):  # noqa: N818
    """The call was sent, and no whole answer came: the firm may have it."""


class Clients:
    """Calls to one firm."""

    def __init__(self, clients: list[httpx.AsyncClient]) -> None:
        self._next = cycle(clients)

    async def call(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> httpx.Response:
        """Make one call, never repeated here. Raises NotSent, NoAnswer."""
        try:
            return await next(self._next).request(method, httpx.URL(url), headers=dict(headers), content=content)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.InvalidURL) as error:
            raise NotSent(str(error) or type(error).__name__) from error
        except (httpx.HTTPError, OSError) as error:
            raise NoAnswer(str(error) or type(error).__name__) from error


@asynccontextmanager
async def opened(answer_timeout_s: float = ANSWER_TIMEOUT_S) -> AsyncIterator[Clients]:
    """Open clients; nothing is connected before the first call."""
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=IDLE_S)
    timeout = httpx.Timeout(answer_timeout_s, connect=CONNECT_TIMEOUT_S)
    async with AsyncExitStack() as stack:
        yield Clients(
            [
                await stack.enter_async_context(
                    httpx.AsyncClient(limits=limits, timeout=timeout, follow_redirects=False)
                )
                for _ in range(SHARDS)
            ]
        )
