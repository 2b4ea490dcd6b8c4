"""What iMSG itself says of a message, whatever its channel."""

from imsg_console.explanations.table import Table

CODES: Table = {
    "expired": "later",
    "erased": "new_relation",
    "suppressed": "suppressed",
    "suppressions_unknown": "wait",
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
    "circuit_open": "wait",
    "paced": "wait",
    "switched_off": "operator",
    "no_route": "operator",
    "no_provider": "operator",
    "unreachable": "wait",
    "http_429": "wait",
    "http_3": "operator",
    "http_4": "operator",
    "http_5": "wait",
}
