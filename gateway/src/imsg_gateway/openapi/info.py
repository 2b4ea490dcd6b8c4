"""The document's description of the API as a whole."""

from collections.abc import Mapping
from typing import Any

TITLE = "iMSG"
VERSION = "1"

DESCRIPTION = (
    "One REST call sends a message by e-mail, SMS or WeChat.\n\n"
    "Every answer is a JSON object with `errorCode` (0: done) and `errorMessage`; a refusal adds `reason`, to "
    "decide by, and `detail`, to show to people (English where Accept-Language prefers it).\n\n"
    "The path decides. `/api/{login,register,send,modify,query}` is the interface document (v1): exactly its keys "
    "and HTTP 200 to everything, fields that it does not list are ignored, and what is more to say stands in "
    "X-IMSG-* headers. All else is `/api/v2/…`: all keys in the body, true statuses, unknown fields refused.\n\n"
    "A program calls by an API key, which the page or `POST /api/v2/keys` makes; a person by the token of a log-in. "
    "Either is taken from the Authorization header, or from `token` of the body (on GET too) or of the query; the "
    "body's comes first. A body is read as JSON whatever its Content-Type. Nothing is "
    "coerced: 5.0 is no integer. "
    "null in an optional field is as if it were absent, U+0000 is refused anywhere."
)

V1, MESSAGES, CALLBACKS, ACCOUNT, USERS, OPERATION = "v1", "messages", "callbacks", "account", "users", "operation"

CHAPTERS: Mapping[str, str] = {
    V1: "The interface document's own five URLs: its keys alone, HTTP 200 to everything, the rest in X-IMSG-* headers.",
    MESSAGES: "Sending, and what became of it.",
    CALLBACKS: "Events of messages: sent by calls of your own URLs, or read from the API.",
    ACCOUNT: "Logging in and out, and what a user does for themselves.",
    USERS: "What administrators do with users.",
    OPERATION: "What administrators do with channels, followers and dead letters.",
}

CHAPTER_OF: Mapping[str, str] = {
    "messages": MESSAGES,
    "requests": MESSAGES,
    "resend": MESSAGES,
    "replies": MESSAGES,
    "stats": MESSAGES,
    "reports": MESSAGES,
    "templates": MESSAGES,
    "callbacks": CALLBACKS,
    "events": CALLBACKS,
    "login": ACCOUNT,
    "logout": ACCOUNT,
    "password": ACCOUNT,
    "me": ACCOUNT,
    "keys": ACCOUNT,
    "sessions": ACCOUNT,
    "register": USERS,
    "users": USERS,
}
"""First word of a path of v2 → its chapter; any other is of OPERATION."""

ROLES = "x-imsg-roles"
"""Which users may call an operation."""

SECURITY: Mapping[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of a log-in."},
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, wherever a token is taken; it needs the scope that the operation names.",
    },
    "query": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "The same, where neither a body nor a header can be given. Query strings end up in logs.",
    },
}

TOKEN: Mapping[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "null"}],
    "title": "Token",
    "description": "An API key, or a token of a log-in: here, or in the Authorization header, or in the query.",
}
"""The field of a body, of which OpenAPI has no security scheme."""
