"""Bounces of a real Postfix reach iMSG by a listener or a mailbox.

The mailbox may be the sender's own, where the server fixes the envelope sender.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.deployment import Deployment, running
from imsg_testing.servers import Dovecot, Postfix, reserve_port
from imsg_testing.servers.dovecot import PASSWORD
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long

PEOPLE = "people.internal"
"""An unregistered domain, but none reserved for examples, whose addresses are never suppressed."""

BOUNCES = "bounce.example.com"


@contextmanager
def imsg(folder: Path, postfix: Postfix, more: Mapping[str, str]) -> Iterator[Deployment]:
    """`imsg up` that sends by Postfix."""
    smtp = {
        "IMSG_SMTP__HOST": "127.0.0.1",
        "IMSG_SMTP__PORT": str(postfix.port),
        "IMSG_SMTP__SENDER": "iMSG <noreply@example.com>",
        "IMSG_SMTP__BOUNCE_DOMAIN": BOUNCES,
    }
    with running(folder, {**smtp, **more}) as deployment:
        deployment.open_wide()
        yield deployment


def of(deployment: Deployment, request: str) -> dict[str, Any]:
    """Return the one message of a request."""
    return dict(next(iter(deployment.messages(f"{request}-0")), {"status": None}))


def send(deployment: Deployment, to: str) -> str:
    """Send a mail; return its request."""
    return str(deployment.send(to)["id"])


def comes_to(deployment: Deployment, request: str, status: str, postfix: Postfix) -> dict[str, Any]:
    """Wait for a status, and return the message."""
    wait(
        lambda: of(deployment, request)["status"] == status,
        why=lambda: f"{of(deployment, request)}\n{postfix.log[-2_000:]}",
    )
    return of(deployment, request)


def tells_what_became(deployment: Deployment, postfix: Postfix) -> None:
    """One mail is delivered, one is for an unknown address; a second to that address is suppressed."""
    reached = send(deployment, f"li@{PEOPLE}")
    lost = send(deployment, f"gone@{PEOPLE}")
    comes_to(deployment, reached, "delivered", postfix)
    failed = comes_to(deployment, lost, "failed", postfix)
    assert failed["error"]["code"] == "5.1.1", failed
    assert "unknown user" in failed["timeline"][-1]["detail"]

    def is_suppressed() -> bool:
        again = send(deployment, f"gone@{PEOPLE}")
        wait(lambda: of(deployment, again)["status"] in ("failed", "sent"))
        return bool(of(deployment, again).get("error", {}).get("code") == "suppressed")

    wait(is_suppressed)


def test_by_a_listener(tmp_path: Path) -> None:
    port = reserve_port()
    with Postfix({f"li@{PEOPLE}": None}, {BOUNCES: port}) as postfix:
        listener = {
            "IMSG_SMTP__BOUNCE_LISTENER__PORT": str(port),
            "IMSG_SMTP__BOUNCE_LISTENER__HOST": "127.0.0.1",
        }
        with imsg(tmp_path / "up", postfix, listener) as deployment:
            tells_what_became(deployment, postfix)


def test_by_a_mailbox(tmp_path: Path) -> None:
    with (
        Dovecot() as dovecot,
        Postfix({f"li@{PEOPLE}": dovecot.box("li"), f"@{BOUNCES}": dovecot.box("bounces")}) as postfix,
    ):
        mailbox = {
            "IMSG_SMTP__BOUNCE_MAILBOX__HOST": "127.0.0.1",
            "IMSG_SMTP__BOUNCE_MAILBOX__PORT": str(dovecot.port),
            "IMSG_SMTP__BOUNCE_MAILBOX__USERNAME": "bounces",
            "IMSG_SMTP__BOUNCE_MAILBOX__PASSWORD": PASSWORD,
        }
        with imsg(tmp_path / "up", postfix, mailbox) as deployment:
            tells_what_became(deployment, postfix)
        assert all(":2,S" in file.name for file in dovecot.messages("bounces")), "what was kept is marked as read"


def test_by_the_senders_own_mailbox(tmp_path: Path) -> None:
    """Without a domain for bounces; other mail in the same account is not touched."""
    with (
        Dovecot() as dovecot,
        Postfix({f"li@{PEOPLE}": dovecot.box("li"), "noreply@example.com": dovecot.box("noreply")}) as postfix,
    ):
        own = {
            "IMSG_SMTP__BOUNCE_DOMAIN": "none",
            "IMSG_SMTP__BOUNCE_MAILBOX__HOST": "127.0.0.1",
            "IMSG_SMTP__BOUNCE_MAILBOX__PORT": str(dovecot.port),
            "IMSG_SMTP__BOUNCE_MAILBOX__USERNAME": "noreply",
            "IMSG_SMTP__BOUNCE_MAILBOX__PASSWORD": PASSWORD,
        }
        dovecot.deliver("noreply", b"From: li@corp.cn\r\nSubject: Re: hello\r\n\r\nThank you.\r\n")
        with imsg(tmp_path / "up", postfix, own) as deployment:
            lost = send(deployment, f"gone@{PEOPLE}")
            failed = comes_to(deployment, lost, "failed", postfix)
            assert failed["error"]["code"] == "5.1.1", failed
            wait(lambda: any(file.name.endswith("a") for file in dovecot.messages("noreply")))
        (unread,) = [file for file in _all_of(dovecot, "noreply") if b"Re: hello" in file.read_bytes()]
        assert "S" not in unread.name.partition(":2,")[2], "what people write stays unread"


def _all_of(dovecot: Dovecot, user: str) -> list[Path]:
    return [*dovecot.messages(user, "new"), *dovecot.messages(user)]
