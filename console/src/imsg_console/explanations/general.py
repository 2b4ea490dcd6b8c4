"""What iMSG itself says of a message, whatever its channel."""

from imsg_console.explanations.table import Table

CODES: Table = {
    "expired": "later",
    "erased": "new_relation",
    "dead_letter": "dead_letter",
    "bug": "bug",
    "claim_expired": "check",
    "not_repeated": "check",
    "ledger_lost": "check",
    "status_unknown": "wait",
    "content": "content",
    "address": "address",
    "history_away": "wait",
    "attachment_gone": "attach",
    "attachment_damaged": "wait",
    "content_gone": "rewrite",
    "content_damaged": "wait",
    "away": "wait",
    "unreachable": "wait",
    "http_429": "wait",
    "http_3": "operator",
    "http_4": "operator",
    "http_5": "wait",
}
