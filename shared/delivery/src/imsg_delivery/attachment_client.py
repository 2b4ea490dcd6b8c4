"""Fetches from history what a job refers to: attachments, and contents that are too long for the broker."""

import asyncio
import hashlib
from typing import Literal

from imsg_contract.results import Again, Blocked, Refused
from imsg_contract.wire import Reference
from imsg_web.service_client import Peer, ServiceUnavailable

FETCH_TIMEOUT_S = 30.0
"""The timeout for up to 16 MiB over a local network."""

LOOK_AGAIN_S = 10.0
"""How long a message waits for history, which restarts within seconds."""

OK, NOT_FOUND = 200, 404


class AttachmentClient:
    """Fetches bytes by (request, sha256); a failure is a result of the channel."""

    def __init__(self, history: Peer, provider: str, *, kind: Literal["attachment", "content"]) -> None:
        """`kind` is the prefix of the failures' codes, `attachment_gone`."""
        self._history = history
        self._provider = provider
        self._kind = kind

    async def fetch(self, request: str, reference: Reference) -> bytes | Again | Blocked | Refused:
        """Return the bytes.

        Blocked while history is unavailable, which uses no attempt; Refused where history has deleted them.
        """
        path = f"/internal/attachments/{request}/{reference.sha256}"
        try:
            answer = await self._history.call("GET", path, timeout_s=FETCH_TIMEOUT_S)
        except ServiceUnavailable as error:
            return self._unavailable(str(error))
        if answer.status_code == NOT_FOUND:
            detail = "The attachment or content is kept no more; send the message again with it."
            return Refused(self._provider, f"{self._kind}_gone", detail)
        if answer.status_code != OK:
            return self._unavailable(f"it answered {answer.status_code}")
        body = answer.content
        if await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest()) != reference.sha256:
            return Again(self._provider, f"{self._kind}_damaged", "What history gave is not what was put there.")
        return body

    def _unavailable(self, why: str) -> Blocked:
        detail = f"Attachments and contents can't be fetched for now: {why}."
        return Blocked(self._provider, "history", "history_away", detail, LOOK_AGAIN_S)
