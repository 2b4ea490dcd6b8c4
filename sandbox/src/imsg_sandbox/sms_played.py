"""The frame of a played SMS provider: what it refuses with, how it takes numbers, and whom it tells of them."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from imsg_sandbox.faults import Fault, Faults
from imsg_sandbox.inbox import Inbox, Received
from imsg_sandbox.sms_api import METHOD
from imsg_sandbox.sms_callbacks import Callback, Callbacks
from imsg_sandbox.sms_forms import Troubles, show_number


@dataclass(frozen=True, slots=True)
class Refusal(Exception):  # noqa: N818  a refusal as the provider words it
    """Why a call, or a number of it, is refused."""

    code: str
    message: str
    status: int = 200


@dataclass(frozen=True, slots=True)
class Ground:
    """What the providers share."""

    inbox: Inbox
    faults: Faults
    callbacks: Callbacks
    hooks: str
    """Below which URL receipts go."""
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Text:
    """What everybody of a call gets."""

    sender: str
    """The signature, or the number that it comes from."""
    text: str
    raw: bytes
    """The call."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What follows for the numbers that a call was taken for: (number, Aliyun's code of its receipt)."""

    early: Sequence[tuple[str, str]]
    """Told before the call is answered."""
    late: Sequence[tuple[str, str]]
    is_cut: bool
    """The call is never answered."""


class Played:
    """A provider: its magic numbers, and where its messages go."""

    codes: ClassVar[Mapping[str, str]]
    """Aliyun's code in the table of magic numbers → this provider's."""

    def __init__(self, name: str, ground: Ground) -> None:
        """`name` is the account's: the inbox shows it."""
        self.name = name
        self.troubles = Troubles(self.codes)
        self.now = ground.now
        self.callbacks = ground.callbacks
        self._inbox = ground.inbox
        self._faults = ground.faults

    async def take(self, numbers: Sequence[str], given: Text) -> Taken:
        """Put a text into the inbox for each number (E.164), as its trouble has it."""
        troubles = [self.troubles.of(number) for number in numbers]
        await asyncio.sleep(max((trouble.wait_s for trouble in troubles), default=0.0))
        early: list[tuple[str, str]] = []
        late: list[tuple[str, str]] = []
        for number, trouble in zip(numbers, troubles, strict=True):
            self._inbox.keep(
                Received(
                    METHOD, show_number(number), given.sender, given.raw, self.now(),
                    text=given.text, sharing=len(numbers), provider=self.name,
                )
            )  # fmt: skip
            if trouble.report is not None and not self._faults.strike(METHOD, Fault.LOST_RECEIPT):
                (early if trouble.early else late).append((number, trouble.report))
        is_cut = any(trouble.cut for trouble in troubles) or self._faults.strike(METHOD, Fault.RESET_AFTER) is not None
        return Taken(early, late, is_cut)

    async def tell(self, early: Callback | None, late: Callback | None) -> None:
        """Push what is told before the answer, and see to the rest."""
        if early is not None:
            await self.callbacks.push_now(early)
        if late is not None:
            self.callbacks.push(late)

    def answer_of_person(self, number: str, text: str, sender: str) -> Callback | None:
        """Make the push of what a person (E.164) answers a sender; None where it is not pushed."""
        raise NotImplementedError


def read_object(body: bytes, code: str) -> Mapping[str, Any]:
    """Read a JSON object. Raises Refusal with this code."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise Refusal(code, "The body is no JSON object.")
    return asked


def json_callback(url: str | None, content: Any, is_kept: str = "") -> Callback | None:  # noqa: ANN401  any JSON
    """Make a push of JSON, kept where the answer's field of this name is 0; None where there is nowhere to push to."""
    if url is None or not content:
        return None
    headers = {"content-type": "application/json;charset=utf-8"}
    callback = Callback(url, json.dumps(content, ensure_ascii=False).encode(), headers)
    if not is_kept:
        return callback

    def says_so(answer: Any) -> bool:  # noqa: ANN401  httpx' own
        said = answer.json()
        return isinstance(said, dict) and said.get(is_kept) == 0

    return Callback(url, callback.body, headers, says_so)
