"""What each URL is called in the OpenAPI document: the name of its operation, its chapter, its one line."""

from collections.abc import Mapping
from dataclasses import dataclass

MESSAGES, ACCOUNT, USERS, OPERATION = "messages", "account", "users", "operation"

CHAPTERS: Mapping[str, str] = {
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
    ("POST", "/api/login"): Title("login", ACCOUNT, "Get a token"),
    ("POST", "/api/logout"): Title("logout", ACCOUNT, "End this token, or every token of the user"),
    ("POST", "/api/password"): Title("password", ACCOUNT, "Change one's password; every other token ends"),
    ("GET", "/api/me"): Title("me", ACCOUNT, "Show who the token's user is, and what is left of their limits"),
    ("POST", "/api/register"): Title("register", USERS, "Create a user"),
    ("POST", "/api/modify/{}"): Title("modify", USERS, "Set a user's limits, in force for their very next send"),
    ("GET", "/api/users"): Title("list_users", USERS, "List users"),
    ("GET", "/api/users/{}"): Title("show_user", USERS, "Show a user"),
    ("PATCH", "/api/users/{}"): Title("change_user", USERS, "Change what is given of a user"),
    ("DELETE", "/api/users/{}"): Title("remove_user", USERS, "Remove a user"),
    ("POST", "/api/send"): Title("send", MESSAGES, "Send a message"),
    ("GET", "/api/query"): Title("query", MESSAGES, "List messages, newest first, and how each stands"),
    ("POST", "/api/resend"): Title("resend", MESSAGES, "Send again what failed, as a new request"),
    ("GET", "/api/stats"): Title("stats", MESSAGES, "Count messages by hour or day"),
    ("GET", "/api/templates"): Title(
        "list_templates", MESSAGES, "Show the words around what is sent by SMS and WeChat"
    ),
    ("GET", "/api/channels"): Title("list_channels", OPERATION, "Show how each channel is"),
    ("PATCH", "/api/channels/{}"): Title("pause_channel", OPERATION, "Pause a channel or let it go on"),
    ("GET", "/api/dead"): Title("list_dead", OPERATION, "List dead letters, newest first"),
    ("GET", "/api/dead/{}"): Title("show_dead", OPERATION, "Show a dead letter with its body"),
    ("POST", "/api/dead/{}/resend"): Title("resend_dead", OPERATION, "Send anew what a dead letter held back"),
}
