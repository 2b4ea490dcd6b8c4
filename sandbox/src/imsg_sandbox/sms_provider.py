"""What the SMS providers of the sandbox have in common: accounts, refusals, magic numbers, the inbox and receipts."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

from starlette.responses import Response

from imsg_sandbox.approved_templates import MagicNumbers, show_number
from imsg_sandbox.faults import Fault, Faults
from imsg_sandbox.inbox import Inbox, ReceivedMessage
from imsg_sandbox.signatures import Call
from imsg_sandbox.sms_callbacks import Callback, Callbacks

METHOD = "sms"

BEIJING = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class Refusal(Exception):  # noqa: N818  an answer of the provider
    """Why the provider refuses a call, or one of its numbers."""

    code: str
    message: str
    status: int = 200


@dataclass(frozen=True, slots=True)
class SmsContext:
    """What the providers share."""

    inbox: Inbox
    faults: Faults
    callbacks: Callbacks
    hooks: str
    """The URL below which receipts go."""
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Sms:
    """One message of a call."""

    to: str
    sender: str
    """The signature, or the number that it comes from."""
    text: str
    raw: bytes
    """The call."""


@dataclass(frozen=True, slots=True)
class AcceptedCall:
    """What follows from an accepted call: receipts as (number, Aliyun's code)."""

    early: Sequence[tuple[str, str]]
    """Pushed before the call is answered."""
    late: Sequence[tuple[str, str]]
    is_cut: bool
    """The connection breaks instead of an answer."""


class SmsProvider:
    """A provider that the sandbox plays for one account."""

    codes: ClassVar[Mapping[str, str]]
    """Aliyun's code in the table of magic numbers → this provider's."""

    def __init__(self, name: str, context: SmsContext) -> None:
        """`name` is the account's: the inbox shows it."""
        self.name = name
        self.magic = MagicNumbers(self.codes)
        self.now = context.now
        self.callbacks = context.callbacks
        self._inbox = context.inbox
        self._faults = context.faults

    async def answer(self, call: Call) -> Response:
        """Answer a call of the API."""
        raise NotImplementedError

    def make_reply(self, number: str, text: str, sender: str) -> Callback | None:
        """Return the push of an inbound message from a number (E.164) to a sender; None if it is not pushed."""
        raise NotImplementedError

    async def accept(self, messages: Sequence[Sms]) -> AcceptedCall:
        """Add messages to the inbox, and simulate the troubles of their magic numbers."""
        troubles = [self.magic.find(message.to) for message in messages]
        await asyncio.sleep(max((trouble.wait_s for trouble in troubles), default=0.0))
        early: list[tuple[str, str]] = []
        late: list[tuple[str, str]] = []
        for sms, trouble in zip(messages, troubles, strict=True):
            self._inbox.add(
                ReceivedMessage(
                    METHOD, show_number(sms.to), sms.sender, sms.raw, self.now(),
                    text=sms.text, sharing=len(messages), provider=self.name,
                )
            )  # fmt: skip
            if trouble.report is not None and not self._faults.use(METHOD, Fault.LOST_RECEIPT):
                (early if trouble.early else late).append((sms.to, trouble.report))
        is_cut = any(trouble.cut for trouble in troubles) or self._faults.use(METHOD, Fault.RESET_AFTER) is not None
        return AcceptedCall(early, late, is_cut)

    async def push(self, early: Callback | None, late: Callback | None) -> None:
        """Push `early` before the call is answered, and `late` in the background."""
        if early is not None:
            await self.callbacks.push_now(early)
        if late is not None:
            self.callbacks.push(late)


def read_object(body: bytes, code: str) -> Mapping[str, Any]:
    """Read a JSON object. Raises Refusal with this code."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Refusal(code, "The body is no JSON object.")
    return content
