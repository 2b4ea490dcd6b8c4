"""What WeChat answers: errcodes, and the results of its receipts."""

from imsg_console.explanations.table import Table, group_codes

CODES: Table = group_codes(
    wait="-1 45009 45011 store_away",
    operator="40001 40013 40014 40125 40164 40243 41002 41004 42001 43019 48001 48004 10015",
    address="40003",
    template="40037 41030 47003 45002",
    follow="43004 43101 45015 48002 50005 not_granted no_window user_block",
    later="45047 not_repeated system_failed failed",
    ask_tag="10011",
    follow_or_ask="10014",
)
