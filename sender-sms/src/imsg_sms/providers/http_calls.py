"""The calls of described providers beside sending, and the placeholders that all calls know."""

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

from imsg_sms.http_settings import BODY, OF_MESSAGES, Http, HttpCall
from imsg_sms.providers.http_filling import compute, encoder, fill, guess_kind, in_url
from imsg_sms.providers.http_reading import is_success, parse
from imsg_sms.providers.meanings import BEIJING
from imsg_web.http_pool import HttpPool


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """The answer to a call; `body` is JSON or XML, None if it is neither."""

    status: int
    text: str
    body: Any
    is_success: bool


class HttpCalls:
    """Makes the calls of an account at a described provider."""

    def __init__(self, settings: Http, pool: HttpPool, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._pool = pool
        self._now = now
        self._of_body = settings.computed_of_body
        self.secrets = {name: value.get_secret_value() for name, value in settings.secrets.items()}

    async def ask(self, call: HttpCall, url: str) -> CallAnswer:
        """Make a call that sends nothing. Raises NotSent, NoAnswer."""
        charset = self._settings.charset
        values, kind = self.make_values(dict.fromkeys(OF_MESSAGES, "")), guess_kind(call.body)
        body = fill(call.body, values, encoder(kind, charset)).encode(charset)
        values = self.add_body(values, body)
        headers = {"content-type": kind, **self.log_in(values)} if body else self.log_in(values)
        filled = fill(url, values, lambda value: in_url(value, charset))
        answer = await self._pool.call(call.method, filled, headers, body or None)
        text = answer.content.decode(charset, "replace")
        parsed = parse(text)
        return CallAnswer(answer.status_code, text, parsed, is_success(call.success, answer.status_code, parsed, text))

    def log_in(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the header of the Basic log-in, if one is described."""
        if not self._settings.basic:
            return {}
        login = fill(self._settings.basic, values, str).encode()
        return {"authorization": f"Basic {base64.b64encode(login).decode()}"}

    def make_values(self, own: Mapping[str, str]) -> dict[str, str]:
        """Return the value of each placeholder, with those of the call, but of those that need its body.

        A computed one may use those before it.
        """
        now = self._now()
        values = {
            **self.secrets,
            **own,
            "time": str(int(now)),
            "time_ms": str(int(now * 1_000)),
            "stamp": f"{datetime.fromtimestamp(now, BEIJING):%Y%m%d%H%M%S}",
            "nonce": token_hex(16),
        }
        return self._compute(values, of_body=False)

    def add_body(self, values: Mapping[str, str], sent: bytes) -> dict[str, str]:
        """Return the values with those that are computed from the body, as it is sent."""
        return self._compute({**values, BODY: sent.decode(self._settings.charset)}, of_body=True)

    def _compute(self, values: dict[str, str], *, of_body: bool) -> dict[str, str]:
        for name, computed in self._settings.computed.items():
            if (name in self._of_body) == of_body:
                values[name] = compute(computed, values, self._settings.charset)
        return values
