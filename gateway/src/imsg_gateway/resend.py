"""A draft read from history: what of an earlier request is to be sent again."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

from pydantic_core import from_json

from imsg_channels import BY_NAME
from imsg_contract.api_keys import SEND, SEND_BY_ANY
from imsg_contract.errors import Refusal
from imsg_contract.wire import Attachment, Category, Recipient, Reference
from imsg_gateway.attachments import File
from imsg_gateway.authentication import Authenticator
from imsg_gateway.credentials import Credential, Owner
from imsg_gateway.draft import Draft
from imsg_gateway.draft_reader import DraftReader
from imsg_gateway.fields import CODE_S
from imsg_gateway.resend_lock import ResendLocks
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_web.callers import Caller
from imsg_web.service_client import Peer, ServiceFailed, ServiceUnavailable

PASSED_ON = ("not_found", "nothing_to_resend", "already_resent", "content_erased", "redacted")
"""Refusals of history's that are passed to the client; any other answer counts as an outage."""


class ResendRequest(NamedTuple):
    """A request to send messages again."""

    id: str
    """Of a request, of one message, or of a dead letter."""
    again: bool = False
    """Also what was sent again already."""
    uncertain: bool = False
    """Also what the provider may already have."""
    is_dead_letter: bool = False


class Resends:
    """Reads from history what may be sent again, on a caller's behalf."""

    def __init__(self, history: Peer, authenticator: Authenticator, drafts: DraftReader, locks: ResendLocks) -> None:
        self._history = history
        self._authenticator = authenticator
        self._drafts = drafts
        self._locks = locks

    async def read(self, wanted: ResendRequest, credential: Credential, new: str) -> tuple[Draft, Owner]:
        """Return the draft of a new request, and its owner: the first sender, also where another user repeats it.

        Messages that another resend has taken are left out, unless `wanted.again`; the others are taken for `new`.
        Raises Refusal not_found, nothing_to_resend, already_resent, no_right, no_scope; ServiceUnavailable,
        RedisUnavailable.
        """
        params = {"again": "1" if wanted.again else "0"}
        path = f"/internal/dead/{quote(wanted.id, safe='')}"
        if not wanted.is_dead_letter:
            params["uncertain"] = "1" if wanted.uncertain else "0"
            path = f"/internal/resend/{wanted.id}"
        caller = await credential.authenticate()
        await credential.require(SEND_BY_ANY)  # a key that sends nothing does not learn which ids there are
        original = await self._find(path, caller, params, wanted.id)
        await credential.require(f"{SEND}{original['method']}")
        if credential.is_test and not original["test"]:
            raise Refusal("not_a_test", id=wanted.id[:64])
        owner = await self._find_owner(original, caller)
        recipients = original["recipients"]
        if not recipients:
            raise Refusal("nothing_to_resend", id=wanted.id[:64])
        if not wanted.again:
            locked = await self._locks.acquire(original["request"], [recipient["n"] for recipient in recipients], new)
            recipients = [recipient for recipient in recipients if recipient["n"] in locked]
        if not recipients:
            raise Refusal("already_resent", id=wanted.id[:64])
        resend_of = original["request"] if wanted.is_dead_letter else wanted.id
        try:
            return await self._draft({**original, "recipients": recipients}, resend_of, owner.username), owner
        except (Refusal, ServiceUnavailable, RedisUnavailable, RedisRefused):
            await self._locks.release(original["request"], new)
            raise

    async def release(self, draft: Draft, new: str) -> None:
        """Release the messages that a request which was not accepted had locked. Raises RedisUnavailable."""
        await self._locks.release((draft.resend_of or "").partition("-")[0], new)

    async def _find_owner(self, original: Mapping[str, Any], caller: Caller) -> Owner:
        """Return the user who made the old request. Raises ServiceUnavailable, RedisUnavailable."""
        if original["user_id"] == caller.user_id:
            return Owner(caller.username, caller.user_id)
        return await self._authenticator.find_owner(original["username"], original["user_id"])

    async def _find(self, path: str, caller: Caller, params: Mapping[str, str], identity: str) -> Mapping[str, Any]:
        answer = await self._history.call("GET", path, caller=caller, params=params)
        found: Mapping[str, Any] = answer.json()
        if answer.status_code == 200:  # noqa: PLR2004  HTTP's own number
            return found
        if (reason := found.get("reason")) in PASSED_ON:
            raise Refusal(reason, what=identity[:64], id=identity[:64])
        raise ServiceFailed(f"history answered {answer.status_code} to {path}")

    async def _draft(self, original: Mapping[str, Any], resend_of: str, username: str) -> Draft:
        request = original["request"]
        attachments = [Attachment.model_validate(attachment) for attachment in original["attachments"]]
        content, category = original["content"], Category(original.get("category") or Category.NOTICE)
        if original["content_at"] is not None:
            reference = Reference.model_validate(original["content_at"])
            content = from_json(await self._bytes(request, reference.sha256, "content"))
        data = await asyncio.gather(
            *(self._bytes(request, attachment.sha256, attachment.filename) for attachment in attachments)
        )
        draft = Draft(
            method=BY_NAME[original["method"]],
            account=original["account"],
            recipients=tuple(
                Recipient.model_validate({**recipient, "n": n}) for n, recipient in enumerate(original["recipients"])
            ),
            content=content,
            files=tuple(
                File(attachment.filename, attachment.type, held, attachment.sha256)
                for attachment, held in zip(attachments, data, strict=True)
            ),
            resend_of=resend_of,
            reference=original.get("reference"),
            category=category,
            is_test=original["test"],
            lifetime=timedelta(seconds=CODE_S) if category is Category.CODE else None,
        )
        return await self._drafts.refresh(draft, username)

    async def _bytes(self, request: str, digest: str, name: str) -> bytes:
        answer = await self._history.call("GET", f"/internal/attachments/{request}/{digest}")
        if answer.status_code == 404:  # noqa: PLR2004
            raise Refusal("not_found", what=name)
        if answer.status_code != 200:  # noqa: PLR2004
            raise ServiceFailed(f"history answered {answer.status_code} for an attachment")
        return answer.content
