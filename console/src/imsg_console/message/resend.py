"""Resending: which messages a filter means, and one API call for each of their requests."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imsg_console.client import ApiError, Lister, Writer
from imsg_console.message.filters import RESENDABLE, Filters

LIMIT_USED_UP = 10013
NOT_SURE = 10012
"""Not accepted, not known, or unreachable: the request is repeated under its key, which sends nothing twice."""

WAITS_S = (1.0, 3.0, 10.0)
MAX_REFUSED = 50


@dataclass(slots=True)
class Progress:
    """What has been resent so far."""

    done: int = 0
    """Requests made, whatever the answer."""
    messages: int = 0
    """Messages accepted."""
    requests: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    """(id, sentence) of the first refusals."""
    failures: int = 0


async def find_failed(api: Lister, filters: Filters, parameters: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """List the messages that a filter may mean. Raises ApiError, SessionOver."""
    statuses = [status for status in filters.statuses if status in (*RESENDABLE, "uncertain")] or sorted(RESENDABLE)
    messages: list[Mapping[str, Any]] = []
    async for page in api.pages("/api/v2/messages", "messages", **{**parameters, "status": ",".join(statuses)}):
        messages += page
    return messages


async def send_again(
    api: Writer,
    bodies: Sequence[Mapping[str, Any]],
    key: str,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    waits_s: Sequence[float] = WAITS_S,
) -> Progress:
    """Post each body; `key` makes a repeat of the same work harmless. Raises SessionOver.

    Raises ApiError where no further request can succeed: a quota is used up, or the API is unreachable.
    """
    progress = Progress()
    for n, body in enumerate(bodies):
        try:
            answer = await _post(api, body, f"{key}-{n}", waits_s)
            progress.messages += int(answer["count"])
            progress.requests.append(str(answer["id"]))
        except ApiError as error:
            if error.code in (LIMIT_USED_UP, NOT_SURE) or not error.detail:
                raise
            progress.failures += 1
            if len(progress.refused) < MAX_REFUSED:
                progress.refused.append((str(body["id"]), error.detail))
        progress.done += 1
        on_progress(progress)
    return progress


async def _post(api: Writer, body: Mapping[str, Any], key: str, waits_s: Sequence[float]) -> dict[str, Any]:
    for wait_s in waits_s:
        try:
            return await api.post("/api/v2/resend", body, idempotency_key=key)
        except ApiError as error:
            if error.code != NOT_SURE and error.detail:
                raise
        await asyncio.sleep(wait_s)
    return await api.post("/api/v2/resend", body, idempotency_key=key)
