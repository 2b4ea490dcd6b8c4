"""The SMS channel over the sandbox's Aliyun, or over a provider whose answers a test sets."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from imsg_contract.suppressions import Suppression
from imsg_contract.wire import Job, Receipt
from imsg_sms import main as sms
from imsg_testing.http_stub import Asked, BreakOff, HttpStub, Step, first_values, reply
from imsg_testing.jobs import make_job

SIGN, TEMPLATE = "天存", "SMS_100000001"

ACCOUNT: Mapping[str, Any] = {
    "access_key_id": "LTAI-test",
    "access_key_secret": "a secret",
    "sign_name": SIGN,
    "template": TEMPLATE,
    "hook_secret": "nobody-can-guess-this",
}

TENCENT: Mapping[str, Any] = {
    "secret_id": "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE",
    "secret_key": "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
    "app_id": "1400006666",
    "sign_name": SIGN,
    "hook_secret": "nobody-can-guess-this",
}

VOLCENGINE: Mapping[str, Any] = {
    "access_key_id": "AKLTEXAMPLE",
    "access_key_secret": "SECRETEXAMPLE",
    "sms_account": "6df864b1",
    "sign_name": SIGN,
    "hook_secret": "nobody-can-guess-this",
}

TWILIO: Mapping[str, Any] = {
    "account_sid": "AC00000000000000000000000000000001",
    "auth_token": "12345",
    "sender": "+15005550006",
    "hook_secret": "nobody-can-guess-this",
}


def write_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the channel's settings; keywords that are no fields are accounts by their names."""
    others = {name: value for name, value in given.items() if name in sms.Sms.model_fields}
    return {"accounts": {name: value for name, value in given.items() if name not in others}, **others}


def configure(given: Mapping[str, Any]) -> sms.Sms:
    """Make the channel's settings of accounts, and of what else is set beside them."""
    return sms.Sms.model_validate(write_settings(given))


def job(numbers: list[str], content: Any = "明天下雨", **fields: Any) -> Job:  # noqa: ANN401
    """Make a job for these numbers."""
    return make_job(*numbers, **{"method": "sms", "content": content, **fields})


class Told(sms.Receipts):
    """Records receipts, references and suppressions in lists."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.references: list[str] = []
        self.suppressions: list[Suppression] = []

    async def suppress(self, suppression: Suppression) -> None:
        """Record a suppression."""
        self.suppressions.append(suppression)

    async def publish(self, receipt: Receipt) -> None:
        """Record a receipt."""
        self.receipts.append(receipt)

    async def remember(self, reference: str) -> None:
        """Record a reference."""
        self.references.append(reference)


class Provider:
    """An SMS provider with set answers: bytes, bytes after some seconds, or a cut connection."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        """The parameters of each call, and `action`, `body`, `path` beside."""
        self.answers: list[Any] = []
        self.always: Any = None
        self._stub = HttpStub(self._answer)

    @property
    def url(self) -> str:
        """Its URL."""
        return f"{self._stub.url}/"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen on a free port."""
        async with self._stub.running():
            yield

    async def _answer(self, asked: Asked) -> Step:
        body = asked.body.decode()
        given = asked.query or first_values(body)
        action = asked.headers.get("x-acs-action", "")
        self.asked.append({**given, "action": action, "body": body, "path": asked.target})
        answer = self.answers.pop(0) if self.answers else self.always
        if callable(answer):
            answer = answer(self.asked[-1])
        if answer == "cut":
            return BreakOff()
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return BreakOff()
        return answer if isinstance(answer, bytes) else reply(answer)


def write_refusal(code: str, message: str = "") -> dict[str, str]:
    """Write a business error."""
    return {"RequestId": "R", "Code": code, "Message": message}


OK = {"RequestId": "R", "Code": "OK", "Message": "OK", "BizId": "123^0"}
