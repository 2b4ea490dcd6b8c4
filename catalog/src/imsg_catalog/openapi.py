"""What OpenAPI says of the catalog's URLs; loaded when somebody asks for it."""

from imsg_catalog.schemas import AddedAnswer, Asked, RemovedAnswer, SuppressionsAnswer
from imsg_catalog.store import DEFAULT_LIMIT, MOST
from imsg_channels import METHODS
from imsg_contract import error_responses
from imsg_contract.suppressions import Reason
from imsg_runtime.openapi import Described, Fields, Json, describe

CURSOR = "^[0-9a-f]{32}$"

PARAMETERS: Fields = {
    "method": {"type": "string", "enum": [*METHODS]},
    "reason": {"type": "string", "enum": [reason.value for reason in Reason]},
    "to": {
        "type": "string",
        "minLength": 1,
        "pattern": r"^[^\u0000]*$",
        "description": "An address, or a part of one, whatever its case.",
    },
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT},
    "cursor": {"type": "string", "pattern": f"({CURSOR})|(^$)", "description": "`next` of the page before."},
}

_ANY = (*error_responses.ANY, *error_responses.TOKEN, "no_right")

URLS = {
    ("GET", "/api/suppressions"): Described(
        SuppressionsAnswer, (*_ANY, "wrong_type", "method_unknown"), query=PARAMETERS
    ),
    ("POST", "/api/suppressions"): Described(
        AddedAnswer, (*_ANY, *error_responses.BODY, "method_unknown", "recipients_invalid"), takes=Asked
    ),
    ("DELETE", "/api/suppressions/{id}"): Described(RemovedAnswer, (*_ANY, "not_found")),
}


def document() -> Json:
    """Describe the public URLs."""
    return describe("iMSG catalog", URLS)
