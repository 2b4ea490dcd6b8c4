"""Inbound SMS: a person replies to the last message that came to their number."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_sandbox.admission import Admission
from imsg_sandbox.approved_templates import read_number, show_number
from imsg_sandbox.body import read_model
from imsg_sandbox.inbox import Inbox
from imsg_sandbox.sms_callbacks import Callbacks
from imsg_sandbox.sms_provider import METHOD, SmsProvider
from imsg_web.responses import ApiResponse, ok


class Reply(BaseModel):
    """Body of POST /sandbox/sms/replies."""

    model_config = ConfigDict(extra="ignore", strict=True, validate_by_alias=True)

    sender: Annotated[str, Field(alias="from", min_length=1)]
    text: str


def routes(inbox: Inbox, callbacks: Callbacks, providers: Mapping[str, SmsProvider], admission: Admission) -> APIRouter:
    """Make the route under /sandbox."""
    router = APIRouter(prefix="/sandbox", dependencies=[Depends(admission)])

    @router.post("/sms/replies")
    async def reply(request: Request) -> Response:
        """Reply to the last SMS that came to a number; `kept` says whether iMSG acknowledged it."""
        body = await read_model(request, Reply)
        number = read_number(body.sender)
        messages = inbox.find(METHOD, show_number(number)) if number is not None else []
        if number is None or not messages or messages[-1].provider not in providers:
            raise Refusal("not_found", what=f"an SMS to {body.sender[:32]}")
        last = messages[-1]
        callback = providers[last.provider].make_reply(number, body.text, last.sender)
        kept = callback is not None and await callbacks.push_now(callback)
        return ApiResponse(ok(provider=last.provider, kept=kept))

    return router
