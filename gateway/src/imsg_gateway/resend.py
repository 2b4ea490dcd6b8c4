"""A draft read from history: what of an earlier request is to be sent again."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from imsg_gateway.asked import Asked
from imsg_gateway.attachments import File
from imsg_gateway.complaints import field_wrong
from imsg_gateway.draft import Draft, Drafting
from imsg_gateway.methods import METHODS
from imsg_shared.errors import REASONS, Refusal
from imsg_shared.peers import Caller, Peer, PeerAway
from imsg_shared.wire import Attachment, Recipient, Reference

_ID = re.compile(r"[0-9a-f]{32}(?:-[0-9]{1,9})?")


class Resends:
    """Reads from history what may be sent again, on a caller's behalf."""

    def __init__(self, history: Peer, drafting: Drafting) -> None:
        self._history = history
        self._drafting = drafting

    async def read(self, asked: Asked, caller: Caller) -> tuple[Draft, str]:
        """Return the draft and whose request it is: the first sender's, whoever repeats it.

        Raises Refusal missing, wrong_type, not_found, nothing_to_resend; PeerAway, RedisAway.
        """
        identity, uncertain = self._identity(asked), asked.fields.get("uncertain")
        if uncertain is not None and not isinstance(uncertain, bool):
            raise field_wrong("uncertain", "必须是true或false", "it must be true or false")
        answer = await self._history.call(
            "GET", f"/internal/resend/{identity}", caller=caller, params={"uncertain": "1" if uncertain else "0"}
        )
        if answer.status_code != 200:  # noqa: PLR2004  HTTP's own number
            raise _refusal(answer.json(), identity)
        found = answer.json()
        request, attachments = found["request"], [Attachment.model_validate(each) for each in found["attachments"]]
        content = found["content"]
        if found["content_at"] is not None:
            reference = Reference.model_validate(found["content_at"])
            content = from_json(await self._bytes(request, reference.sha256, "content"))
        data = await asyncio.gather(*(self._bytes(request, each.sha256, each.filename) for each in attachments))
        draft = Draft(
            method=METHODS[found["method"]],
            account=found["account"],
            recipients=tuple(
                Recipient(n=n, to=each["to"], address=each["address"]) for n, each in enumerate(found["recipients"])
            ),
            content=content,
            files=tuple(
                File(each.filename, each.type, held, each.sha256) for each, held in zip(attachments, data, strict=True)
            ),
            resend_of=identity,
        )
        return await self._drafting.again(draft), found["username"]

    def _identity(self, asked: Asked) -> str:
        given: object = asked.names[0] if asked.names else asked.fields.get("id")
        if given is None:
            raise Refusal("missing", field="id")
        if not isinstance(given, str):
            raise field_wrong("id", "必须是字符串", "it must be a string")
        if not _ID.fullmatch(given):
            raise Refusal("not_found", what=given[:64])
        return given

    async def _bytes(self, request: str, digest: str, name: str) -> bytes:
        answer = await self._history.call("GET", f"/internal/attachments/{request}/{digest}")
        if answer.status_code == 404:  # noqa: PLR2004
            raise Refusal("not_found", what=name)
        if answer.status_code != 200:  # noqa: PLR2004
            raise PeerAway(f"history answered {answer.status_code} for an attachment")
        return answer.content


def _refusal(answer: Mapping[str, Any], identity: str) -> Exception:
    """Say what history said; its own crash is its being away."""
    reason = str(answer.get("reason"))
    if reason in REASONS and reason != "bug":
        return Refusal(reason, what=identity, id=identity)
    return PeerAway("history could not say what to send again")
