"""What each URL is called in the OpenAPI document: the name of its operation, its chapter, its one line."""

from collections.abc import Mapping
from dataclasses import dataclass

V1, MESSAGES, CALLBACKS, ACCOUNT, USERS, OPERATION = "v1", "messages", "callbacks", "account", "users", "operation"

CHAPTERS: Mapping[str, str] = {
    V1: "The interface document's own five URLs: its keys alone, HTTP 200 to everything, the rest in X-IMSG-* headers.",
    MESSAGES: "Sending, and what became of it.",
    CALLBACKS: "Being told what happens to messages: by calls of your own URLs, or by reading events.",
    ACCOUNT: "Logging in and out, and what a user does for themselves.",
    USERS: "What administrators do with users.",
    OPERATION: "What administrators do with channels, followers and dead letters.",
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
    ("GET", "/api/v2/replies"): Title("list_replies", MESSAGES, "List what people wrote back, newest first"),
    ("GET", "/api/v2/stats"): Title("stats", MESSAGES, "Count messages by hour or day"),
    ("GET", "/api/v2/templates"): Title(
        "list_templates", MESSAGES, "Show the words around what is sent by SMS and WeChat"
    ),
    ("GET", "/api/v2/callbacks"): Title("list_callbacks", CALLBACKS, "List one's callbacks, and how each is"),
    ("POST", "/api/v2/callbacks"): Title("add_callback", CALLBACKS, "Have a URL called; its secret is shown this once"),
    ("PATCH", "/api/v2/callbacks/{}"): Title("change_callback", CALLBACKS, "Change what is given of a callback"),
    ("DELETE", "/api/v2/callbacks/{}"): Title("remove_callback", CALLBACKS, "Remove a callback, and what waits for it"),
    ("POST", "/api/v2/callbacks/{}/test"): Title("test_callback", CALLBACKS, "Call it now and see what it answers"),
    ("POST", "/api/v2/callbacks/{}/rotate"): Title(
        "rotate_callback", CALLBACKS, "Give it a new secret; for 24 hours both sign"
    ),
    ("POST", "/api/v2/callbacks/{}/recover"): Title(
        "recover_callback", CALLBACKS, "Send once more what did not reach it since a time"
    ),
    ("GET", "/api/v2/callbacks/{}/deliveries"): Title(
        "list_deliveries", CALLBACKS, "List what was sent to it, and what it answered"
    ),
    ("POST", "/api/v2/callbacks/{}/deliveries/{}/resend"): Title(
        "resend_delivery", CALLBACKS, "Send one event to it once more"
    ),
    ("GET", "/api/v2/events"): Title("read_events", CALLBACKS, "Read on in what happened, waiting for what comes"),
    ("GET", "/api/v2/channels"): Title("list_channels", OPERATION, "Show how each channel is"),
    ("PATCH", "/api/v2/channels/{}"): Title("pause_channel", OPERATION, "Pause a channel or let it go on"),
    ("PATCH", "/api/v2/channels/{}/providers/{}"): Title(
        "switch_provider", OPERATION, "Switch a provider on or off, or weigh it; in force within seconds"
    ),
    ("POST", "/api/v2/channels/{}/providers/{}/test"): Title(
        "test_provider", OPERATION, "Send one message by this provider alone"
    ),
    ("GET", "/api/v2/followers"): Title("list_followers", OPERATION, "List who follows the official accounts"),
    ("POST", "/api/v2/followers/bind"): Title(
        "bind_follower", OPERATION, "Make a QR code by which a follower becomes a user's contact"
    ),
    ("GET", "/api/v2/followers/bind/{}"): Title(
        "show_binding", OPERATION, "Show whether a code was scanned, and by whom"
    ),
    ("POST", "/api/v2/followers/bind/{}/confirm"): Title(
        "confirm_binding", OPERATION, "Make whoever scanned a code the user's contact"
    ),
    ("POST", "/api/v2/followers/{}/renew"): Title("renew_tag", OPERATION, "Give a follower another tag"),
    ("DELETE", "/api/v2/followers/{}"): Title("revoke_tag", OPERATION, "Take a tag away from its follower"),
    ("GET", "/api/v2/dead"): Title("list_dead", OPERATION, "List dead letters, newest first"),
    ("GET", "/api/v2/dead/{}"): Title("show_dead", OPERATION, "Show a dead letter with its body"),
    ("POST", "/api/v2/dead/{}/resend"): Title("resend_dead", OPERATION, "Send anew what a dead letter held back"),
    ("POST", "/api/v2/erasures"): Title("erase", OPERATION, "Erase all that is kept of a person's address"),
    ("GET", "/api/v2/erasures/{}"): Title("show_erasure", OPERATION, "Show what remains of who was erased"),
    ("GET", "/api/v2/suppressions"): Title(
        "list_suppressions", OPERATION, "List to whom nothing may be sent any more, newest first"
    ),
    ("POST", "/api/v2/suppressions"): Title("suppress", OPERATION, "Let nothing be sent to addresses any more"),
    ("DELETE", "/api/v2/suppressions/{}"): Title(
        "remove_suppression", OPERATION, "Take a suppression away: the address is sent to again"
    ),
}
