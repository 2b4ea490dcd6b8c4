"""A report through the public API: asked for, followed, and fetched by its owner alone."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from imsg_testing.api import PASSWORD
from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of users")

RECIPIENTS = 5_000
"""A list whose report has several parts of 1 MiB."""


def test_a_long_report_arrives_whole_and_at_its_owner_alone(deployment: Deployment) -> None:
    name = deployment.new_user()
    token = deployment.token(name, PASSWORD)
    to = [f"reader{n}@example.com" for n in range(RECIPIENTS)]
    content = {"subject": "hello", "text": "您好"}
    send = {"token": token, "to": to, "method": "smtp", "content": content, "reference": "r" * 200}
    accepted = deployment.call("POST", "/api/v2/messages", send)
    assert accepted["count"] == RECIPIENTS

    today = datetime.now(UTC)
    span = {"since": (today - timedelta(days=1)).isoformat(), "until": (today + timedelta(days=1)).isoformat()}
    usage: dict[str, object] = {"token": token, "kind": "usage", "by": ["user", "method"], **span}

    def count() -> int:
        rows = json.loads(_fetch(deployment, token, _make(deployment, token, usage)).content)["rows"]
        assert {(row["user"], row["method"]) for row in rows} <= {(name, "smtp")}
        return sum(row["messages"] for row in rows)

    wait(lambda: count() == RECIPIENTS, 60)

    url = _make(deployment, token, {"token": token, "kind": "messages", "format": "csv", **span})
    answer = _fetch(deployment, token, url)
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert {row["to"] for row in rows} == set(to)
    assert len(answer.content) > 1024 * 1024
    assert answer.headers["content-disposition"].startswith('attachment; filename="imsg-messages-')
    refused = _fetch(deployment, deployment.token(), url)
    assert (refused.status_code, refused.json()["reason"]) == (404, "not_found")
    # What others send to lists would wait behind it.
    cancelled = deployment.call("POST", f"/api/v2/requests/{accepted['id']}/cancel", {"token": token})
    assert cancelled["errorCode"] == 0, cancelled


def _make(deployment: Deployment, token: str, body: dict[str, object]) -> str:
    name = deployment.call("POST", "/api/v2/reports", body)["id"]
    wait(lambda: deployment.call("GET", f"/api/v2/reports/{name}", token=token)["state"] == "done", 60)
    return str(deployment.call("GET", f"/api/v2/reports/{name}", token=token)["url"])


def _fetch(deployment: Deployment, token: str, url: str) -> httpx.Response:
    return httpx.get(deployment.url + url, headers={"authorization": f"Bearer {token}"}, timeout=60)
