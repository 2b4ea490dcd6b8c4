"""A Postfix pipes its bounces to iMSG by the lines of docs/mail.md."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.deployment import Deployment, running
from imsg_testing.servers import Postfix
from imsg_testing.servers.dovecot import mail_owner
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-url-0123456789"
BOUNCES = "bounce.tiancun-shili.cn"


@dataclass
class Round:
    """iMSG, the Postfix by which it sends, and where that Postfix delivers."""

    imsg: Deployment
    postfix: Postfix
    box: Path

    def wait_for(self, request: str, status: str) -> dict[str, Any]:
        """Wait until the one message of a request has a status; return it with its time-line."""
        found: dict[str, Any] = {}

        def has() -> bool:
            found.update(next(iter(self.imsg.messages(f"{request}-0")), {}))
            return bool(found.get("status") == status)

        wait(has, 60, every_s=0.2, why=lambda: f"not {status}: {found}\n{self.postfix.log[-3_000:]}")
        return found


def _write_pipe(path: Path, url: str) -> None:
    """Write the script of the documentation, for this iMSG."""
    text = (ROOT / "docs" / "mail.md").read_text()
    match = re.search(r"```sh\n(#!/bin/sh\n# imsg-bounce.*?)```", text, re.DOTALL)
    assert match is not None
    secret = path.with_suffix(".secret")
    secret.write_text(SECRET)
    script = match[1].replace("https://imsg.example.com", url).replace("/etc/imsg-bounce.secret", str(secret))
    path.write_text(script)
    path.chmod(0o755)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    """`imsg up` beside a Postfix."""
    folder = tmp_path_factory.mktemp("pipe")
    for path in (folder, *folder.parents):
        if path.stat().st_mode & 0o005 != 0o005:
            path.chmod(0o755)
    box, script = folder / "box", folder / "imsg-bounce"
    box.mkdir()
    shutil.chown(box, mail_owner().pw_uid, mail_owner().pw_gid)
    with Postfix({"li@tiancun-shili.cn": box}, pipes={BOUNCES: script}) as postfix:
        settings = {
            "IMSG_SMTP__HOST": "127.0.0.1",
            "IMSG_SMTP__PORT": str(postfix.port),
            "IMSG_SMTP__SENDER": "noreply@tiancun-shili.cn",
            "IMSG_SMTP__BOUNCE_DOMAIN": BOUNCES,
            "IMSG_SMTP__BOUNCE_SECRET": SECRET,
        }
        with running(tmp_path_factory.mktemp("up"), settings) as deployment:
            _write_pipe(script, deployment.url)
            deployment.open_wide()
            yield Round(deployment, postfix, box)


def test_who_has_no_mailbox_is_failed_in_the_servers_words_and_not_written_to_again(whole: Round) -> None:
    to = "nobody@tiancun-shili.cn"
    request = str(whole.imsg.send(to)["id"])

    message = whole.wait_for(request, "failed")

    assert "sent" in [line["status"] for line in message["timeline"]]
    assert (message["error"]["code"], "unknown user" in message["error"]["detail"]) == ("5.1.1", True)
    wait(lambda: whole.wait_for(str(whole.imsg.send(to)["id"]), "failed")["error"]["code"] == "suppressed", 60)


def test_who_has_one_is_delivered_by_the_report_that_was_asked_for(whole: Round) -> None:
    request = str(whole.imsg.send("li@tiancun-shili.cn")["id"])

    assert whole.wait_for(request, "delivered")["error"] is None
    assert any((whole.box / "new").iterdir())
