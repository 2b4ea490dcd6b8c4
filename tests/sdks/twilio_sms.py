"""Sends by Twilio's own library, to an account that the sandbox plays, and checks a callback by its validator."""

import json
import sys
from typing import Any

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client

root, sid, token, sender, callback, signature = sys.argv[1:]


class There(TwilioHttpClient):  # type: ignore[misc]  # it is skipped
    """Calls the sandbox in Twilio's place."""

    def request(self, method: str, url: str, *more: Any, **named: Any) -> Response:  # noqa: ANN401  the library's own
        """Call."""
        return super().request(method, url.replace("https://api.twilio.com", root), *more, **named)


client = Client(sid, token, http_client=There(timeout=60))
sent = client.messages.create(to="+12025550123", from_=sender, body="明天下雨", status_callback=callback)
try:
    client.messages.create(to="+8619900000002", from_=sender, body="明天下雨")
    refused = None
except TwilioRestException as error:
    refused = error.code

form = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+12025550123"}
print(  # noqa: T201  the answer of this program
    json.dumps(
        {
            "sid": sent.sid,
            "status": sent.status,
            "refused": refused,
            "is_valid": RequestValidator(token).validate(callback, form, signature),
        }
    )
)
