"""A client generated from the committed OpenAPI document logs in, sends and queries, with typed answers."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from imsg_testing.api import DOCUMENTED
from imsg_testing.deployment import Deployment, running
from imsg_testing.openapi import DOCUMENT
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long

GENERATOR = Path(sys.executable).parent / "openapi-python-client"

PACKAGE = "imsg_generated"

PATIENCE = httpx.Timeout(60)

SETTINGS = f"package_name_override: {PACKAGE}\npost_hooks: []\n"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """`imsg up`, for a generated client."""
    with running(tmp_path_factory.mktemp("generated")) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Generate the client; a schema that the generator has to leave out fails here."""
    folder = tmp_path_factory.mktemp("client")
    chosen = folder / "settings.yml"
    chosen.write_text(SETTINGS)
    command = [str(GENERATOR), "generate", "--path", str(DOCUMENT), "--config", str(chosen), "--meta", "none"]
    made = subprocess.run(
        [*command, "--fail-on-warning", "--output-path", str(folder / PACKAGE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def part(name: str) -> Any:  # noqa: ANN401  what was generated a moment ago has no types to check here
    """Import a module of the generated client."""
    return importlib.import_module(f"{PACKAGE}.{name}")


@pytest.mark.usefixtures("folder")
def test_a_generated_client_logs_in_sends_and_queries(deployment: Deployment) -> None:
    models = part("models")
    with part("client").Client(deployment.url, timeout=PATIENCE) as anybody:
        credentials = models.Login(username="admin", password=DOCUMENTED["admin"])
        issued = part("api.account.login").sync(client=anybody, body=credentials)
    assert isinstance(issued, models.TokenAnswer)
    with part("client").AuthenticatedClient(deployment.url, issued.token, timeout=PATIENCE) as client:
        mail = models.SendMail(
            to=["li.wei@example.com", "wang.fang@example.com"],
            method="smtp",
            content=models.MailContent(subject="会议纪要", text="请查收附件。"),
            attachment=models.AttachedFile(filename="纪要.txt", file="5Lya6K6u57qq6KaBCg=="),
        )
        sent = part("api.messages.send_message").sync(client=client, body=mail, idempotency_key="generated-1")
        assert isinstance(sent, models.SendAnswer)
        assert sent.count == 2

        pages: list[Any] = []

        def both_are_sent() -> bool:
            pages[:] = [part("api.messages.list_messages").sync(client=client, id=sent.id)]
            return [message.status for message in pages[0].messages] == [models.ListedShapeStatus.SENT] * 2

        wait(both_are_sent, every_s=0.1, why=lambda: f"{pages}\n{deployment.logs}")
    assert isinstance(pages[0], models.MessagesAnswer)
    message = pages[0].messages[0]
    assert isinstance(message, models.ListedShape)
    assert message.attachments[0].filename == "纪要.txt"
    assert message.created_at.tzinfo is not None
    assert pages[0].next_ is None


@pytest.mark.usefixtures("folder")
def test_a_generated_client_gets_the_reason_of_a_refusal_by_type(deployment: Deployment) -> None:
    models = part("models")
    with part("client").Client(deployment.url, timeout=PATIENCE) as anybody:
        wrong = models.Login(username="admin", password="not this one")
        refused = part("api.account.login").sync(client=anybody, body=wrong)
    assert isinstance(refused, models.LoginResponse401)
    assert refused.error_code == 10007
    assert refused.reason is models.LoginResponse401Reason.WRONG_PASSWORD
    with part("client").AuthenticatedClient(deployment.url, "forged", timeout=PATIENCE) as client:
        sms = models.SendSms(to="13800138000", method="sms", content="明天下雨")
        refused = part("api.messages.send_message").sync(client=client, body=sms)
    assert isinstance(refused, models.SendMessageResponse401)
    assert refused.reason == "token_invalid"
