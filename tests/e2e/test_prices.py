"""What a message costs, through the public API: before it is sent, and after its provider has named the segments."""

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from imsg_testing.api import PASSWORD
from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of sending")

PRICE = {
    "method": "sms", "provider": "aliyun", "country": "CN", "per": "segment", "amount": "0.045", "currency": "CNY",
    "from": "2026-01-01",
}  # fmt: skip
ESTIMATE = [{"amount": "0.045", "currency": "CNY", "estimated": True}]


def put_prices(deployment: Deployment, *prices: dict[str, Any]) -> httpx.Response:
    """Replace the prices as an administrator."""
    headers = {"authorization": f"Bearer {deployment.token()}", "if-match": "*"}
    return httpx.put(f"{deployment.url}/api/v2/prices", json={"prices": prices}, headers=headers, timeout=60)


def test_a_message_and_its_report_cost_what_was_estimated(deployment: Deployment) -> None:
    assert put_prices(deployment, PRICE).json()["prices"] == [PRICE]
    name = deployment.new_user()
    token = deployment.token(name, PASSWORD)
    body = {"token": token, "to": f"137{secrets.randbelow(10**8):08d}", "method": "sms", "content": "明天下雨"}
    wait(lambda: deployment.call("POST", "/api/v2/messages/check", body)["cost"] == ESTIMATE, 60)
    sent = deployment.call("POST", "/api/v2/messages", body)
    assert sent["cost"] == ESTIMATE

    def read_message() -> dict[str, Any]:
        found = deployment.call("GET", "/api/v2/messages", id=sent["id"], token=token)["messages"]
        return dict(found[0]) if found else {"cost": None}

    # The receipt names the segments, so that the cost is no estimate any more.
    wait(lambda: read_message()["cost"] == {**ESTIMATE[0], "estimated": False}, 60)
    assert "cost" not in deployment.call("GET", "/api/query", id=sent["id"], token=token)["messages"][0]

    now = datetime.now(UTC)
    span = {"since": (now - timedelta(days=1)).isoformat(), "until": (now + timedelta(days=1)).isoformat()}
    report = deployment.call("POST", "/api/v2/reports", {"token": token, "kind": "usage", "by": ["provider"], **span})
    path = f"/api/v2/reports/{report['id']}"
    wait(lambda: deployment.call("GET", path, token=token)["state"] == "done", 60)
    url = deployment.url + deployment.call("GET", path, token=token)["url"]
    (row,) = json.loads(httpx.get(url, headers={"authorization": f"Bearer {token}"}, timeout=60).content)["rows"]
    assert (row["provider"], row["messages"], row["cost"]) == ("aliyun", 1, [{**ESTIMATE[0], "estimated": False}])
    assert put_prices(deployment).json()["prices"] == []
