"""WeCom's error codes: what each means for a message, as one table."""

from collections.abc import Mapping
from typing import Literal

from imsg_contract.results import Again, Blocked, Refused, Result, Sent

PROVIDER = "wecom"
"""The name of this provider in results, history and logs."""

OK = 0
MINUTE_S = 60.0
BUSY_S = 10.0
CONFIGURATION_S = 300.0
"""How long a robot waits if its key or its settings in the group are wrong."""

MAX_DETAIL = 300

Meaning = Literal["rate", "busy", "configuration", "recipient", "content"]

CODES: Mapping[int, Meaning] = {
    -1: "busy",
    45009: "rate",  # over 20 a minute
    45033: "busy",  # too many calls at once
    93000: "configuration",  # no robot has this key
    40001: "configuration",
    40013: "configuration",
    40014: "configuration",
    40056: "configuration",
    42001: "configuration",
    48002: "configuration",
    60020: "configuration",  # the IP address is not allowed
    301002: "configuration",
    40003: "recipient",
    60011: "recipient",
    60111: "recipient",
    81013: "recipient",
    82001: "recipient",
    40008: "content",
    40058: "content",
    40004: "content",  # the type of the file
    41005: "content",  # no file
    44001: "content",  # empty file
    44004: "content",  # empty
    45002: "content",  # too long
}
"""Code → its class (developer.work.weixin.qq.com/document/path/90313, read November 2026); after an
unlisted code the message is tried again."""


def classify_code(code: int, text: str, robot: str) -> Result:
    """Return the result of an answer; `text` is its errmsg, without the key."""
    detail = f"{code}: {text}"[:MAX_DETAIL]
    match CODES.get(code):
        case _ if code == OK:
            return Sent(PROVIDER, detail=text[:MAX_DETAIL] or None)
        case "rate":
            return Again(PROVIDER, str(code), detail, MINUTE_S, "provider", is_paced=True)
        case "configuration":
            return Blocked(PROVIDER, robot, str(code), detail, CONFIGURATION_S, "account")
        case "recipient" | "content" as concerns:
            return Refused(PROVIDER, str(code), detail, concerns)
        case "busy":
            return Again(PROVIDER, str(code), detail, BUSY_S, "provider")
        case _:
            return Again(PROVIDER, str(code), f"(an unlisted code) {detail}", BUSY_S)
