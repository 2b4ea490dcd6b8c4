"""A mail whose sender is refused delays no other mail of that sender, and fails alone."""

from pathlib import Path

import pytest

from imsg_testing.deployment import running
from imsg_testing.mailbox import Mailbox
from imsg_testing.waiting import wait

pytestmark = pytest.mark.release
"""A mail that was refused is tried again after a minute."""

POISON = "poison@example.com"


def test_forty_one_mails_pass_one_that_is_refused_for_its_sender(tmp_path: Path) -> None:
    with Mailbox().running_apart() as mailbox, running(tmp_path, mailbox.settings) as imsg:
        imsg.open_wide()
        mailbox.poison[POISON] = {"RCPT": "553 Mail from must equal authorized user"}
        poison = imsg.send(POISON)["id"]

        def status() -> str:
            found = imsg.messages(f"{poison}-0")
            return str(found[0]["status"]) if found else ""

        wait(lambda: status() == "retrying")
        for n in range(41):
            imsg.send(f"good-{n}@example.com")
        wait(lambda: len(mailbox.counts("@example.com")) == 41, within_s=60.0)
        wait(lambda: status() != "retrying", within_s=200.0)
        assert status() == "failed"
