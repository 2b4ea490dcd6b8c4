"""Explanations of iMSG's own codes, for messages of every channel."""

from imsg_console.explanations.table import Table, group_codes

CODES: Table = group_codes(
    later="expired recipient_cap",
    new_relation="erased",
    suppressed="suppressed",
    wait=(
        "caps_unknown suppressions_unknown status_unknown history_away attachment_damaged content_damaged away "
        "circuit_open paced unreachable http_429 http_5"
    ),
    dead_letter="dead_letter",
    bug="bug",
    check="claim_expired not_repeated ledger_lost",
    content="content render",
    address="address",
    attach="attachment_gone",
    rewrite="content_gone",
    operator="switched_off no_route no_provider http_3 http_4",
)
