"""The webhook for bounces: `POST /hooks/smtp` with a signature by Standard Webhooks, or `POST /hooks/smtp/SECRET`.

The body is the mail itself (`message/rfc822`, its recipients in `?recipient=`), or JSON `{recipient, raw}`.
"""

import time
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from imsg_contract.constant_time import equals
from imsg_contract.errors import Refusal
from imsg_runtime.logs import logger
from imsg_smtp.bounces.process import BounceProcessor, RetryLater, Verdict
from imsg_smtp.webhook_signature import SIGNED, read_secret, read_signature
from imsg_web import bodies
from imsg_web.responses import Answer, ok, refuse_fields

log = logger(__name__)

PATH = "/hooks/smtp"

MAX_BODY_BYTES = 1024 * 1024
"""The limit of every webhook. A longer mail may be cut off by its sender: the report stands at its beginning."""

MAX_RECIPIENTS = 10

RETRY_AFTER_S = 10


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class PushedMail(BaseModel):
    """The JSON body of a push."""

    model_config = ConfigDict(strict=True)

    recipient: Annotated[list[str], BeforeValidator(_as_list)] = []
    raw: str
    """The whole mail with its headers."""


class Hook:
    """An ASGI app at `PATH`. Raises Refusal, which the service answers."""

    def __init__(self, bounces: BounceProcessor, secrets: Sequence[SecretStr]) -> None:
        texts = [secret.get_secret_value() for secret in secrets]
        self._bounces = bounces
        self._signing_keys = [read_secret(text) for text in texts if text.startswith(SIGNED)]
        self._url_secrets = [text for text in texts if not text.startswith(SIGNED)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a push: 200 once it is kept or ignored, 404 for an unknown token, 503 to ask for a repeat."""
        request = Request(scope, receive)
        has_url_secret = self._check_url(request)
        if request.method != "POST":
            allowed = {"Allow": "POST"}
            raise Refusal("no_such_method", path=PATH, method=request.method, allowed="POST", headers=allowed)
        signature = None if has_url_secret else read_signature(request.headers, time.time())
        if signature is None and not has_url_secret:  # before the body of an unknown client is read
            raise Refusal("not_signed")
        body = await bodies.read(scope, receive, MAX_BODY_BYTES)
        if signature is not None and not signature.verify(self._signing_keys, body):
            raise Refusal("not_signed")
        raw, recipients = _read_mail(request, body)
        try:
            ingested = await self._bounces.process(raw, recipients)
        except RetryLater as later:
            log.warning("bounce_not_kept", why=str(later))
            raise Refusal("unavailable", retry_after_s=RETRY_AFTER_S) from later
        if ingested.verdict is Verdict.UNKNOWN_TOKEN:
            raise Refusal("not_found", what="b+TOKEN")
        await Answer(ok(result=ingested.verdict.value, why=ingested.why, id=ingested.message))(scope, receive, send)

    def _check_url(self, request: Request) -> bool:
        """Return whether the URL contains a secret; False where the push has to be signed. Raises Refusal."""
        path = request.url.path
        if path.rstrip("/") == PATH and self._signing_keys:
            return False
        last = path.removeprefix(f"{PATH}/")
        if path.startswith(f"{PATH}/") and any(equals(last, secret) for secret in self._url_secrets):
            return True
        raise Refusal("no_such_url", path=PATH if last else path)


def _read_mail(request: Request, body: bytes) -> tuple[bytes, list[str]]:
    """Return the mail and its recipients. Raises Refusal."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        recipients = request.query_params.getlist("recipient")[:MAX_RECIPIENTS]
        return body, [text.replace(" ", "+") for text in recipients]  # an unquoted + is decoded as a space
    try:
        pushed = PushedMail.model_validate_json(body)
    except ValidationError as error:
        raise refuse_fields(error.errors()) from error
    return pushed.raw.encode("utf-8", "surrogatepass"), pushed.recipient[:MAX_RECIPIENTS]
