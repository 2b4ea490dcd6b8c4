"""An alert reaches a person by mail while all of iMSG is down.

Prometheus and Alertmanager have the files of `deploy`, with their times shortened (`imsg_testing.servers.prometheus`).
"""

from collections import defaultdict
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.mailbox import Mailbox
from imsg_testing.servers import Alertmanager, Prometheus
from imsg_testing.services import Plan, Services
from imsg_testing.smtp_server import Received
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(900)

WITHIN_S = 180.0


class OnCall(Mailbox):
    """The mail server of the person on call, without any part of iMSG."""

    def __init__(self) -> None:
        super().__init__()
        self.extensions = (*self.extensions, "AUTH PLAIN")
        self.users = {"alerts@example.com": "a password"}

    def store(self, mail: Received) -> None:
        """Record a whole mail."""
        self.mails.append(mail)

    def read_mails(self) -> list[EmailMessage]:
        """Read all that has come."""
        return [message_from_bytes(mail.data, policy=default) for mail in list(self.mails)]

    def fill_in(self, folder: Path, receiver: dict[str, Any]) -> None:
        """Fill in the receiver of deploy's file, as an operator does."""
        ((user, password),) = self.users.items()
        file = folder / "smtp_password"
        file.write_text(password)
        (mail,) = receiver["email_configs"]
        mail |= {"smarthost": f"{self.host}:{self.port}", "auth_username": user, "auth_password_file": str(file)}
        mail["require_tls"] = False  # on the loopback
        del receiver["webhook_configs"]


@pytest.fixture(scope="module")
def plan() -> Plan:
    """One of each."""
    return Plan(senders=1)


def test_the_operator_is_notified_while_all_of_imsg_is_down(deployment: Services, tmp_path: Path) -> None:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for service in deployment.services:
        found[service.package].append(service.url.removeprefix("http://"))
    on_call = OnCall()
    with (
        on_call.running_apart(),
        Alertmanager(lambda receiver: on_call.fill_in(tmp_path, receiver)) as alertmanager,
        Prometheus(alertmanager) as prometheus,
    ):
        prometheus.scrape(found)
        wait(lambda: len(prometheus.query("up == 1")) == len(deployment.services), WITHIN_S, 0.5)
        wait(lambda: prometheus.read_states()["ImsgServiceDown"] == "inactive", WITHIN_S, 0.5)
        earlier = len(on_call.mails)  # a service that stood still for long may have been told of

        for service in deployment.services:
            service.process.kill()
        for server in deployment.servers:
            server.process.kill()

        def tells(mail: EmailMessage) -> bool:
            body = mail.get_body()
            return (
                mail["subject"].startswith("[FIRING:")
                and "ImsgServiceDown" in mail["subject"]
                and body is not None
                and "docs/runbooks/ImsgServiceDown.md" in body.get_content()
            )

        wait(lambda: any(map(tells, on_call.read_mails()[earlier:])), WITHIN_S, 0.5, lambda: str(on_call.read_mails()))
        assert {mail["to"] for mail in on_call.read_mails()} == {"oncall@example.com"}
        assert not any(service.process.runs for service in deployment.services)
