"""What OpenAPI says of auth's public URLs: each with the refusals that it can give, and none that it never gives."""

from imsg_auth.schemas import (
    Answered,
    Login,
    Logout,
    Modification,
    PasswordChange,
    Patch,
    Registration,
    SwitchAnswer,
    SwitchAsked,
    TokenAnswer,
    UserAnswer,
    UsersAnswer,
)
from imsg_auth.users import MAX_PAGE, PAGE
from imsg_channels import METHODS
from imsg_contract.error_responses import ANY, BODY, TOKEN
from imsg_runtime.openapi import Described, Fields, Json, describe

USERS_QUERY: Fields = {
    "search": {
        "type": "string",
        "pattern": r"^[^\u0000]*$",
        "description": "Part of a name or contact.",
        "title": "Search",
    },
    "limit": {"type": "integer", "maximum": MAX_PAGE, "minimum": 1, "default": PAGE, "title": "Limit"},
    "cursor": {
        "type": "string",
        "pattern": "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2}==|[A-Za-z0-9_-]{3}=)?$",
        "description": "`next` of the page before: base64.",
        "title": "Cursor",
    },
}

_USER = (*ANY, *TOKEN)
_ADMINISTRATOR = (*_USER, "no_right")
_ONE = "/api/users/{username}"
_PROVIDER = "/api/channels/{method}/providers/{name}"
_LAST = "last_administrator"

URLS = {
    ("POST", "/api/login"): Described(
        TokenAnswer, (*ANY, *BODY, "no_such_user", "wrong_password", "too_many_tries"), takes=Login
    ),
    ("POST", "/api/logout"): Described(Answered, (*_USER, *BODY), takes=Logout),
    ("POST", "/api/password"): Described(
        TokenAnswer, (*_USER, *BODY, "wrong_password", "too_many_tries"), takes=PasswordChange
    ),
    ("GET", "/api/me"): Described(UserAnswer, _USER),
    ("POST", "/api/register"): Described(
        Answered, (*_ADMINISTRATOR, *BODY, "username_taken", "contact_taken"), takes=Registration
    ),
    ("POST", "/api/modify/{username}"): Described(
        Answered, (*_ADMINISTRATOR, *BODY, "no_such_user"), takes=Modification
    ),
    ("GET", "/api/users"): Described(UsersAnswer, (*_ADMINISTRATOR, "wrong_type"), query=USERS_QUERY),
    ("GET", _ONE): Described(UserAnswer, (*_ADMINISTRATOR, "no_such_user")),
    ("PATCH", _ONE): Described(
        UserAnswer, (*_ADMINISTRATOR, *BODY, "no_such_user", "contact_taken", _LAST), takes=Patch
    ),
    ("DELETE", _ONE): Described(Answered, (*_ADMINISTRATOR, "no_such_user", _LAST)),
    ("PATCH", _PROVIDER): Described(
        SwitchAnswer,
        (*_ADMINISTRATOR, *BODY, "missing", "not_found"),
        takes=SwitchAsked,
        names={"method": {"enum": [*METHODS]}},
    ),
}


def document() -> Json:
    """Describe the public URLs."""
    return describe("iMSG auth", URLS)
