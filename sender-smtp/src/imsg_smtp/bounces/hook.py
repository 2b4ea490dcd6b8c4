"""Bounces that are pushed: `POST /hooks/smtp`, signed as Standard Webhooks says, or `/hooks/smtp/SECRET`.

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
from imsg_web.responses import Answer, ok, wrong_fields

log = logger(__name__)

PATH = "/hooks/smtp"

MAX_BODY_BYTES = 1024 * 1024
"""As for every webhook. Of a longer mail its report stands at the beginning: the rest may be cut off before it."""

MAX_RECIPIENTS = 10

RETRY_AFTER_S = 10


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Pushed(BaseModel):
    """A mail as JSON."""

    model_config = ConfigDict(strict=True)

    recipient: Annotated[list[str], BeforeValidator(_as_list)] = []
    raw: str
    """The mail, headers and all."""


class Hook:
    """An ASGI app at `PATH`. Raises Refusal, which the service answers."""

    def __init__(self, bounces: BounceProcessor, secrets: Sequence[SecretStr]) -> None:
        known = [one.get_secret_value() for one in secrets]
        self._bounces = bounces
        self._signing = [read_secret(one) for one in known if one.startswith(SIGNED)]
        self._spoken = [one for one in known if not one.startswith(SIGNED)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one push: 200 once it is kept or changes nothing, 404 where it is nobody's, 503 to come again."""
        request = Request(scope, receive)
        is_known = self._check_url(request)
        if request.method != "POST":
            allowed = {"Allow": "POST"}
            raise Refusal("no_such_method", path=PATH, method=request.method, allowed="POST", headers=allowed)
        signature = None if is_known else read_signature(request.headers, time.time())
        if signature is None and not is_known:  # said before a stranger's body is read
            raise Refusal("not_signed")
        body = await bodies.read(scope, receive, MAX_BODY_BYTES)
        if signature is not None and not signature.fits(self._signing, body):
            raise Refusal("not_signed")
        raw, recipients = _read(request, body)
        try:
            ingested = await self._bounces.process(raw, recipients)
        except RetryLater as later:
            log.warning("bounce_not_kept", why=str(later))
            raise Refusal("unavailable", retry_after_s=RETRY_AFTER_S) from later
        if ingested.verdict is Verdict.UNKNOWN_TOKEN:
            raise Refusal("not_found", what="b+TOKEN")
        await Answer(ok(result=ingested.verdict.value, why=ingested.why, id=ingested.message))(scope, receive, send)

    def _check_url(self, request: Request) -> bool:
        """Tell whether the URL itself holds a secret. Raises Refusal no_such_url."""
        path = request.url.path
        if path.rstrip("/") == PATH and self._signing:
            return False
        given = path.removeprefix(f"{PATH}/")
        if path.startswith(f"{PATH}/") and any(equals(given, one) for one in self._spoken):
            return True
        raise Refusal("no_such_url", path=PATH if given else path)


def _read(request: Request, body: bytes) -> tuple[bytes, list[str]]:
    """Read the mail and its recipients. Raises Refusal."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        given = request.query_params.getlist("recipient")[:MAX_RECIPIENTS]
        return body, [one.replace(" ", "+") for one in given]  # a + that was not written %2B is read as a blank
    try:
        pushed = Pushed.model_validate_json(body)
    except ValidationError as error:
        raise wrong_fields(error.errors()) from error
    return pushed.raw.encode("utf-8", "surrogatepass"), pushed.recipient[:MAX_RECIPIENTS]
