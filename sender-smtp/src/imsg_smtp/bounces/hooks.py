"""The webhook for bounces: `POST /hooks/smtp`, signed as Standard Webhooks says, or `/hooks/smtp/SECRET`.

The body is the mail itself (`message/rfc822`, its recipients in `?recipient=`), or JSON `{recipient, raw}`.
"""

import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError

from imsg_contract.constant_time import equals
from imsg_contract.errors import Refusal
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_smtp.bounces.process import BounceProcessor, RetryLater, Verdict
from imsg_smtp.webhook_signature import SIGNED, read_secret, read_signature
from imsg_web import bodies
from imsg_web.responses import refuse_fields
from imsg_web.schemas import Success

log = logger(__name__)

PATH = "/hooks/smtp"

SECRET_PATH = f"{PATH}/{{secret:path}}"

OTHER_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT")

MAX_BODY_BYTES = 1024 * 1024
"""The limit of every webhook. A longer mail may be cut off by its sender: the report is at its beginning."""

MAX_RECIPIENTS = 10

RETRY_AFTER_S = 10


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class PushedMail(BaseModel):
    """A mail as JSON."""

    model_config = ConfigDict(strict=True)

    recipient: Annotated[list[str], BeforeValidator(_as_list)] = []
    raw: str
    """The mail, headers and all."""


class BounceAnswer(Success):
    """The fate of a mail, as a hook reports it."""

    result: Verdict
    why: str
    id: str | None
    """The message that the mail reports on, `REQUEST-N`."""


def make_router(bounces: BounceProcessor, secrets: Sequence[SecretStr]) -> APIRouter:
    """Make the routes. A request without a secret or a current signature is refused before its body is read."""
    texts = [secret.get_secret_value() for secret in secrets]
    keys = [read_secret(text) for text in texts if text.startswith(SIGNED)]
    url_secrets = [text for text in texts if not text.startswith(SIGNED)]
    handler = _Handler(bounces, keys, url_secrets)
    router = APIRouter(include_in_schema=False)
    if keys:
        router.add_api_route(PATH, handler.receive_signed, methods=["POST"])
        router.add_api_route(f"{PATH}/", handler.receive_signed, methods=["POST"])
    router.add_api_route(SECRET_PATH, handler.receive, methods=["POST"])
    router.add_api_route(SECRET_PATH, handler.refuse_method, methods=list(OTHER_METHODS))
    return router


class _Handler:
    def __init__(self, bounces: BounceProcessor, keys: Sequence[bytes], url_secrets: Sequence[str]) -> None:
        """`keys` sign mails; `url_secrets` are a part of the URL."""
        self._bounces = bounces
        self._keys = keys
        self._url_secrets = url_secrets
        self._problem = RecurringProblem(log, "bounces_not_kept", quiet_s=QUIET_S)

    async def receive_signed(self, request: Request) -> BounceAnswer:
        """Process a mail that is signed. Raises Refusal not_signed, and what `receive` raises."""
        signature = read_signature(request.headers, time.time())
        if signature is None:
            raise Refusal("not_signed")
        body = await _read_body(request)
        if not signature.verify(self._keys, body):
            raise Refusal("not_signed")
        return await self._process(request, body)

    async def receive(self, secret: str, request: Request) -> BounceAnswer:
        """Process a mail that came by a secret URL.

        Raises Refusal no_such_url, not_found where the mail names no message of iMSG, unavailable where it has to be
        sent again, wrong_type, missing, not_json, too_large.
        """
        self._check_secret(secret)
        return await self._process(request, await _read_body(request))

    async def refuse_method(self, secret: str, request: Request) -> None:
        """Refuse a method. Raises Refusal no_such_url, no_such_method."""
        self._check_secret(secret)
        raise Refusal("no_such_method", path=PATH, method=request.method, allowed="POST", headers={"Allow": "POST"})

    def _check_secret(self, secret: str) -> None:
        """Raise Refusal no_such_url where no secret is `secret`; no text repeats it, since it may have been valid."""
        if not any(equals(secret, known) for known in self._url_secrets):
            raise Refusal("no_such_url", path=PATH)

    async def _process(self, request: Request, body: bytes) -> BounceAnswer:
        mail, recipients = _read_mail(request, body)
        try:
            bounce = await self._bounces.process(mail, recipients)
        except RetryLater as error:
            self._problem.report(error)
            raise Refusal("unavailable", retry_after_s=RETRY_AFTER_S) from error
        self._problem.clear()
        if bounce.verdict is Verdict.UNKNOWN_TOKEN:
            raise Refusal("not_found", what="b+TOKEN")
        return BounceAnswer(result=bounce.verdict, why=bounce.why, id=bounce.message)


async def _read_body(request: Request) -> bytes:
    """Read the body, up to its limit. Raises Refusal too_large, body_incomplete."""
    return await bodies.read(request.scope, request.receive, MAX_BODY_BYTES)


def _read_mail(request: Request, body: bytes) -> tuple[bytes, list[str]]:
    """Read the mail and its recipients. Raises Refusal."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        recipients = request.query_params.getlist("recipient")[:MAX_RECIPIENTS]
        return body, [text.replace(" ", "+") for text in recipients]  # a + that was not written %2B reads as a blank
    try:
        pushed = PushedMail.model_validate_json(body)
    except ValidationError as error:
        raise refuse_fields(error.errors()) from error
    return pushed.raw.encode("utf-8", "surrogatepass"), pushed.recipient[:MAX_RECIPIENTS]
