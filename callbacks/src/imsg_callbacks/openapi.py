"""What OpenAPI says of callbacks' URLs; loaded when somebody asks for it."""

from imsg_callbacks.asked import EndpointAsked, EndpointChange, RecoveryAsked
from imsg_callbacks.bounds import DEFAULT_LIMIT, LONGEST_WAIT_S, MOST, MOST_EVENTS
from imsg_callbacks.schemas import (
    DeliveriesAnswer,
    EndpointAnswer,
    EndpointAnswered,
    EndpointsAnswer,
    EventsAnswer,
    NewAnswer,
    RecoveryAnswer,
    SecretAnswer,
    TestAnswer,
)
from imsg_callbacks.tables import DELIVERED, FAILED, WAITING
from imsg_contract import error_responses
from imsg_runtime.openapi import Described, Fields, Json, describe

DELIVERY_PARAMETERS: Fields = {
    "state": {"type": "string", "enum": [WAITING, DELIVERED, FAILED]},
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT},
    "cursor": {
        "type": "string",
        "pattern": "^([A-P][A-Za-z0-9_-]{9}[AEIMQUYcgkosw048]=?)?$",
        "description": "`next` of the page before.",
    },
}
EVENT_PARAMETERS: Fields = {
    "after": {
        "type": "string",
        "pattern": "^([A-Za-z0-9_-]{32})?$",
        "description": "`next` of the answer before; left out: from the oldest that is kept.",
    },
    "wait": {
        "type": "integer",
        "minimum": 0,
        "maximum": LONGEST_WAIT_S,
        "default": 0,
        "description": "For how many seconds an answer may wait for an event.",
    },
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST_EVENTS, "default": 100},
}

_ANY = (*error_responses.ANY, *error_responses.TOKEN)
_BODY = (*_ANY, *error_responses.BODY)
_NAMED = (*_ANY, "not_found")
_ONE = "/api/callbacks/{id}"

URLS = {
    ("GET", "/api/callbacks"): Described(EndpointsAnswer, _ANY),
    ("POST", "/api/callbacks"): Described(NewAnswer, (*_BODY, "too_many_callbacks"), takes=EndpointAsked),
    ("PATCH", _ONE): Described(EndpointAnswer, (*_BODY, "not_found"), takes=EndpointChange),
    ("DELETE", _ONE): Described(EndpointAnswered, _NAMED),
    ("POST", f"{_ONE}/rotate"): Described(SecretAnswer, _NAMED),
    ("POST", f"{_ONE}/test"): Described(TestAnswer, (*_NAMED, "too_many_tries")),
    ("POST", f"{_ONE}/recover"): Described(RecoveryAnswer, (*_BODY, "not_found"), takes=RecoveryAsked, success=202),
    ("GET", f"{_ONE}/deliveries"): Described(DeliveriesAnswer, (*_NAMED, "wrong_type"), query=DELIVERY_PARAMETERS),
    ("POST", f"{_ONE}/deliveries/{{event}}/resend"): Described(EndpointAnswered, _NAMED, success=202),
    ("GET", "/api/events"): Described(EventsAnswer, (*_ANY, "wrong_type", "cursor_expired"), query=EVENT_PARAMETERS),
}


def document() -> Json:
    """Describe the public URLs."""
    return describe("iMSG callbacks", URLS)
