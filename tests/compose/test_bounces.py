"""A mail server brings a bounce to the port that deploy/bounces.yml publishes."""

from typing import Any

import pytest
from aiosmtplib import SMTPRecipientsRefused

from imsg_testing import bounces
from imsg_testing.compose import Containers
from imsg_testing.servers import reserve_port

pytestmark = pytest.mark.timeout(1_200)

DOMAIN = "bounce.tiancun-shili.cn"
TO = "li@tiancun-shili.cn"


def test_a_report_brought_to_the_published_port_finds_its_message(containers: Containers) -> None:
    port = reserve_port()
    settings = {"IMSG_BOUNCE_BIND": f"127.0.0.1:{port}", "IMSG_SMTP__BOUNCE_DOMAIN": DOMAIN}
    with containers.adding("deploy/bounces.yml", settings, "sender-smtp"):
        body = {"token": containers.token, "to": TO, "method": "smtp", "content": {"subject": "x", "text": "y"}}
        sent = containers.call("POST", "/api/send", body)
        assert sent["errorCode"] == 0, sent

        def message() -> dict[str, Any]:
            messages = containers.call("GET", "/api/query", id=f"{sent['id']}-0", token=containers.token)["messages"]
            return dict(next(iter(messages), {"status": None}))

        containers.wait(lambda: message()["status"] == "sent")
        (mail,) = containers.call("GET", "/sandbox/inbox", to=TO, token=containers.token)["messages"]
        path = str(mail["from"])
        assert path.endswith(f"@{DOMAIN}")

        report = bounces.dsn(path, action="delivered", status="2.0.0", diagnostic="", date=bounces.now())
        with pytest.raises(SMTPRecipientsRefused) as refused:
            bounces.bring(port, f"b+{'a' * 45}@{DOMAIN}", report)
        assert {recipient.code for recipient in refused.value.recipients} == {550}
        bounces.bring(port, path, report)
        containers.wait(lambda: message()["status"] == "delivered")
