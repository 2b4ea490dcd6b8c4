"""What each URL is called in the OpenAPI document: the name of its operation, its chapter, its one line."""

from collections.abc import Mapping
from dataclasses import dataclass

V1, MESSAGES, ACCOUNT, USERS, OPERATION = "v1", "messages", "account", "users", "operation"

CHAPTERS: Mapping[str, str] = {
    V1: "The interface document's own five URLs: its keys alone, HTTP 200 to everything, the rest in X-IMSG-* headers.",
    MESSAGES: "Sending, and what became of it.",
    ACCOUNT: "Logging in and out, and what a user does for themselves.",
    USERS: "What administrators do with users.",
    OPERATION: "What administrators do with channels and dead letters.",
}


@dataclass(frozen=True, slots=True)
class Title:
    """One URL's. `operation` names the function in a generated client."""

    operation: str
    chapter: str
    summary: str


TITLES: Mapping[tuple[str, str], Title] = {
    ("POST", "/api/login"): Title("v1_login", V1, "Get a token"),
    ("POST", "/api/register"): Title("v1_register", V1, "Create a user"),
    ("POST", "/api/send"): Title("v1_send", V1, "Send a message"),
    ("POST", "/api/modify/{}"): Title("v1_modify", V1, "Set a user's limits, in force for their very next send"),
    ("GET", "/api/query"): Title("v1_query", V1, "List messages, newest first, and how each stands"),
    ("POST", "/api/v2/login"): Title("login", ACCOUNT, "Get a token"),
    ("POST", "/api/v2/logout"): Title("logout", ACCOUNT, "End this token, or every token of the user"),
    ("POST", "/api/v2/password"): Title("password", ACCOUNT, "Change one's password; every other token ends"),
    ("GET", "/api/v2/me"): Title("me", ACCOUNT, "Show who the token's user is, and what is left of their limits"),
    ("POST", "/api/v2/register"): Title("register", USERS, "Create a user"),
    ("POST", "/api/v2/modify/{}"): Title("modify", USERS, "Set a user's limits, in force for their very next send"),
    ("GET", "/api/v2/users"): Title("list_users", USERS, "List users"),
    ("GET", "/api/v2/users/{}"): Title("show_user", USERS, "Show a user"),
    ("PATCH", "/api/v2/users/{}"): Title("change_user", USERS, "Change what is given of a user"),
    ("DELETE", "/api/v2/users/{}"): Title("remove_user", USERS, "Remove a user"),
    ("POST", "/api/v2/messages"): Title("send", MESSAGES, "Send a message"),
    ("GET", "/api/v2/messages"): Title("query", MESSAGES, "List messages, newest first, and how each stands"),
    ("POST", "/api/v2/messages/check"): Title(
        "check", MESSAGES, "See what a send would meet; sends and counts nothing"
    ),
    ("GET", "/api/v2/requests"): Title(
        "list_requests", MESSAGES, "List requests, newest first, and how many of each stand where"
    ),
    ("GET", "/api/v2/requests/{}"): Title("show_request", MESSAGES, "Show a request, and how many of it stand where"),
    ("POST", "/api/v2/resend"): Title("resend", MESSAGES, "Send again what failed, as a new request"),
    ("GET", "/api/v2/stats"): Title("stats", MESSAGES, "Count messages by hour or day"),
    ("GET", "/api/v2/templates"): Title(
        "list_templates", MESSAGES, "Show the words around what is sent by SMS and WeChat"
    ),
    ("GET", "/api/v2/channels"): Title("list_channels", OPERATION, "Show how each channel is"),
    ("PATCH", "/api/v2/channels/{}"): Title("pause_channel", OPERATION, "Pause a channel or let it go on"),
    ("GET", "/api/v2/dead"): Title("list_dead", OPERATION, "List dead letters, newest first"),
    ("GET", "/api/v2/dead/{}"): Title("show_dead", OPERATION, "Show a dead letter with its body"),
    ("POST", "/api/v2/dead/{}/resend"): Title("resend_dead", OPERATION, "Send anew what a dead letter held back"),
    ("POST", "/api/v2/erasures"): Title("erase", OPERATION, "Erase all that is kept of a person's address"),
    ("GET", "/api/v2/erasures/{}"): Title("show_erasure", OPERATION, "Show what remains of who was erased"),
}
