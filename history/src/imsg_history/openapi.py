"""What OpenAPI says of history's public URLs; loaded when somebody asks for it."""

from imsg_channels import METHODS
from imsg_contract import error_responses
from imsg_contract.wire import Status
from imsg_history.asked import ErasureAsked
from imsg_history.cursors import DEFAULT_LIMIT, MOST
from imsg_history.records import MAX_CODE
from imsg_history.schemas import (
    DeadAnswer,
    DeadListAnswer,
    ErasureAnswer,
    ErasureStateAnswer,
    MessagesAnswer,
    QueryAnswer,
    RepliesAnswer,
    RequestAnswer,
    RequestsAnswer,
    StatsAnswer,
)
from imsg_history.statements import WINDOW
from imsg_history.stats import MOST_BUCKETS
from imsg_runtime.openapi import Described, Fields, Json, describe

NO_NUL = r"^[^\u0000]*$"
TIME = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "number", "minimum": 0, "maximum": 253_402_300_799},
    ],
    "description": "RFC 3339, or Unix seconds.",
}
LIMIT = {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT}
BEFORE = "`next` of the page before."
CURSOR = {"type": "string", "pattern": "^([A-Za-z0-9_-]{27}=?)?$", "description": BEFORE}
DEAD_CURSOR = {"type": "string", "pattern": "^(A[A-Za-z0-3][A-Za-z0-9_-]{30})?$", "description": BEFORE}
REFERENCE = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": NO_NUL,
    "description": "What the client called its requests.",
}
STATUSES = {
    "type": "string",
    "pattern": "^({0})(,({0}))*$".format("|".join(status.value for status in Status)),
    "description": "One, or several with commas between them.",
}
CODE = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_CODE,
    "pattern": NO_NUL,
    "description": "An error's code, as `error.code` has it.",
}
PART = {
    "type": "string",
    "minLength": 1,
    "pattern": NO_NUL,
    "description": (
        "A part of a recipient, whatever its case; of a phone number, its digits. No index knows parts: each page is "
        f"sought among {WINDOW} messages, and may hold few or none while `next` leads on."
    ),
}
USERNAME = {"type": "string", "pattern": NO_NUL, "description": "Whose: for administrators, who else see everybody's."}
PAGE_PARAMETERS: Fields = {"limit": LIMIT, "cursor": DEAD_CURSOR}
STATS_PARAMETERS: Fields = {
    "username": USERNAME,
    "since": TIME,
    "until": TIME,
    "bucket": {
        "type": "string",
        "enum": ["hour", "day"],
        "default": "day",
        "description": f"From `since` to `until` there may be 1 to {MOST_BUCKETS}.",
    },
}
QUERY_PARAMETERS: Fields = {
    "id": {
        "type": "string",
        "pattern": "^[0-9a-fA-F]{32}(-(0|[1-9][0-9]{0,8}))?$",
        "description": "A request's id, or one message's, which adds its time-line.",
    },
    "username": USERNAME,
    "method": {"type": "string", "enum": [*METHODS]},
    "status": {"type": "string", "enum": [status.value for status in Status]},
    "to": {
        "type": "string",
        "minLength": 1,
        "pattern": NO_NUL,
        "description": "An address, as written or in its normal form.",
    },
    "since": TIME,
    "until": TIME,
    "limit": LIMIT,
    "cursor": CURSOR,
}
REPLY_PARAMETERS: Fields = {
    "id": {**QUERY_PARAMETERS["id"], "description": "Those that answer a request, or one message of it."},
    "username": USERNAME,
    "method": QUERY_PARAMETERS["method"],
    "from": {**QUERY_PARAMETERS["to"], "description": "Who wrote them: a number, or as it was written to."},
    "since": TIME,
    "until": TIME,
    "limit": LIMIT,
    "cursor": DEAD_CURSOR,
}
V2_QUERY_PARAMETERS: Fields = {
    **QUERY_PARAMETERS,
    "status": STATUSES,
    "reference": REFERENCE,
    "code": CODE,
    "part": PART,
}
"""Described here and read by `filters`, which has a sentence in both languages for what is wrong."""

ERASING = ("method_unknown", "recipients_invalid", "contact_in_use", "no_erasure_key")
"""What may stand in an erasure's way; who uses the address is the gateway's to find out."""

_ANY = (*error_responses.ANY, *error_responses.TOKEN)
_LISTING = (*_ANY, "wrong_type", "method_unknown", "no_right")
_ADMINISTERING = (*_ANY, "not_found", "no_right")

URLS = {
    ("GET", "/api/query"): Described(QueryAnswer, _LISTING, query=QUERY_PARAMETERS),
    ("GET", "/api/messages"): Described(MessagesAnswer, _LISTING, query=V2_QUERY_PARAMETERS),
    ("GET", "/api/requests"): Described(RequestsAnswer, _LISTING, query=V2_QUERY_PARAMETERS),
    ("GET", "/api/replies"): Described(RepliesAnswer, _LISTING, query=REPLY_PARAMETERS),
    ("GET", "/api/requests/{id}"): Described(RequestAnswer, (*_ANY, "not_found")),
    ("GET", "/api/stats"): Described(StatsAnswer, (*_ANY, "wrong_type", "no_right"), query=STATS_PARAMETERS),
    ("GET", "/api/dead"): Described(DeadListAnswer, (*_ANY, "wrong_type", "no_right"), query=PAGE_PARAMETERS),
    ("GET", "/api/dead/{id}"): Described(DeadAnswer, _ADMINISTERING),
    ("POST", "/api/erasures"): Described(
        ErasureAnswer, (*_ANY, *error_responses.BODY, *ERASING, "no_right"), takes=ErasureAsked, success=202
    ),
    ("GET", "/api/erasures/{id}"): Described(ErasureStateAnswer, _ADMINISTERING),
}


def document() -> Json:
    """Describe the public URLs."""
    return describe("iMSG history", URLS)
