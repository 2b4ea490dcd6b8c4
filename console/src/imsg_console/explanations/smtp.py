"""What mail servers answer, by code and enhanced code, either alone, or the first digit (RFC 3463, RFC 5321)."""

from imsg_console.explanations.table import Table, group_codes

CODES: Table = group_codes(
    wait=(
        "timeout disconnected unreachable out_of_step gibberish paced 4.2.0 4.2.1 4.3.1 4.3.2 4.4.1 4.4.2 4.4.7 4.5.3 "
        "4.7.0 4.7.1 421 450 451 452 454 4"
    ),
    operator=(
        "wrong_security no_server sender reply_to no_starttls no_log_in certificate 5.1.8 5.4.6 5.7.8 5.7.9 5.7.23 "
        "5.7.25 5.7.26 432 530 534 535 538"
    ),
    smaller="too_large 5.2.3 5.3.4",
    address="no_smtputf8 5.1.0 5.1.1 5.1.2 5.1.3 5.1.6 5.1.10 5.2.0 5.2.1 5.4.1 5.4.4 550 551 553 5",
    make_room="5.2.2",
    content="5.6.0 5.7.0 5.7.1 552 554",
    wait_for_room="4.2.2",
) | {"454 4.7.0": "wait"}
