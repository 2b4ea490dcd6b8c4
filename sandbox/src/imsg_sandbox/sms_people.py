"""People who answer an SMS: by whichever provider brought them the last one."""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_sandbox.admission import Admission
from imsg_sandbox.aliyun_rules import BEIJING
from imsg_sandbox.body import read_body
from imsg_sandbox.inbox import Inbox
from imsg_sandbox.sms_api import METHOD
from imsg_sandbox.sms_callbacks import Callback, Callbacks
from imsg_sandbox.sms_forms import read_number, show_number
from imsg_sandbox.sms_played import json_callback
from imsg_web.responses import Answer, ok, wrong_field

Answering = Callable[[str, str, str], Callback | None]
"""Makes the push of (number, text, sender that is answered); None where it is not pushed."""


class Written(BaseModel):
    """Body of POST /sandbox/sms/replies."""

    model_config = ConfigDict(extra="ignore", strict=True, validate_by_alias=True)

    sender: Annotated[str, Field(alias="from", min_length=1)]
    text: str


def answer_by_aliyun(url: str | None, now: Callable[[], datetime]) -> Answering:
    """Make the push of SmsUp, a list of one."""

    def push(number: str, text: str, sender: str) -> Callback | None:
        said = {
            "phone_number": show_number(number),
            "send_time": f"{now().astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
            "content": text,
            "sign_name": sender,
            "dest_code": "10690000",
            "sequence_id": secrets.randbelow(10**12),
        }
        return json_callback(url, [said], "code")

    return push


def routes(inbox: Inbox, callbacks: Callbacks, answering: Mapping[str, Answering], admission: Admission) -> APIRouter:
    """Make the route under /sandbox."""
    router = APIRouter(prefix="/sandbox", dependencies=[Depends(admission)])

    @router.post("/sms/replies")
    async def reply(request: Request) -> Response:
        """Answer the last SMS that came to a number; `kept` says whether iMSG took it."""
        try:
            written = Written.model_validate_json(await read_body(request) or b"null")
        except ValidationError as error:
            raise wrong_field(error.errors()[0]) from error
        number = read_number(written.sender)
        got = inbox.find(METHOD, show_number(number)) if number is not None else []
        if number is None or not got or got[-1].provider not in answering:
            raise Refusal("not_found", what=f"an SMS to {written.sender[:32]}")
        last = got[-1]
        push = answering[last.provider](number, written.text, last.sender)
        kept = push is not None and await callbacks.push_now(push)
        return Answer(ok(provider=last.provider, kept=kept))

    return router
