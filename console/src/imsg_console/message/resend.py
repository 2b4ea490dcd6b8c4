"""Sending again: which messages a filter means, and asking for each request until it is answered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from imsg_console.client import ApiError
from imsg_console.message.filters import RESENDABLE, Filters

LIMIT_USED_UP = 10013
NOT_SURE = 10012
"""Not accepted, not known, or away: asked again under the same key, which sends nothing twice."""

WAITS_S = (1.0, 3.0, 10.0)
MAX_TOLD = 50


class Posts(Protocol):
    """The part of the API that sends again."""

    async def post(self, path: str, body: Mapping[str, Any], **headers: str) -> dict[str, Any]:
        """Do. Raises ApiError, SessionOver."""


class Pages(Protocol):
    """The part of the API that lists."""

    def pages(self, path: str, field: str, **params: object) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield the rows of `field` page by page."""


@dataclass(slots=True)
class Tally:
    """What came of it so far."""

    done: int = 0
    """Asked for, whatever the answer."""
    messages: int = 0
    """Accepted anew."""
    requests: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    """(id, why), the first of them."""
    failures: int = 0


async def find_failed(api: Pages, filters: Filters, asked: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """List the messages that a filter may mean. Raises ApiError, SessionOver."""
    statuses = [one for one in filters.statuses if one in (*RESENDABLE, "uncertain")] or sorted(RESENDABLE)
    found: list[Mapping[str, Any]] = []
    async for page in api.pages("/api/v2/messages", "messages", **{**asked, "status": ",".join(statuses)}):
        found += page
    return found


async def send_again(
    api: Posts,
    bodies: Sequence[Mapping[str, Any]],
    key: str,
    *,
    progress: Callable[[Tally], None] = lambda _: None,
    waits_s: Sequence[float] = WAITS_S,
) -> Tally:
    """Ask for each; `key` makes a repeat of the same work harmless. Raises SessionOver.

    Raises ApiError where going on makes no sense: the limit is used up, or the API is away for long.
    """
    tally = Tally()
    for n, body in enumerate(bodies):
        try:
            answer = await _one(api, body, f"{key}-{n}", waits_s)
            tally.messages += int(answer["count"])
            tally.requests.append(str(answer["id"]))
        except ApiError as error:
            if error.code in (LIMIT_USED_UP, NOT_SURE) or not error.detail:
                raise
            tally.failures += 1
            if len(tally.refused) < MAX_TOLD:
                tally.refused.append((str(body["id"]), error.detail))
        tally.done += 1
        progress(tally)
    return tally


async def _one(api: Posts, body: Mapping[str, Any], key: str, waits_s: Sequence[float]) -> dict[str, Any]:
    for wait_s in waits_s:
        try:
            return await api.post("/api/v2/resend", body, idempotency_key=key)
        except ApiError as error:
            if error.code != NOT_SURE and error.detail:
                raise
        await asyncio.sleep(wait_s)
    return await api.post("/api/v2/resend", body, idempotency_key=key)
