"""What the page sends to an administrator's browser holds no secret that is kept, in whichever page or form."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from imsg_testing.browser import DESK, Look, Visit
from imsg_testing.deployment import Deployment, running
from imsg_testing.page_actions import choose_in_menu, log_in, open_page
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

pytestmark = pytest.mark.timeout(1_200)

LENGTH = 24


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run an iMSG of which nothing is configured."""
    with running(tmp_path_factory.mktemp("secrets-in-pages")) as deployment:
        deployment.open_wide()
        yield deployment


def plant(deployment: Deployment) -> list[str]:
    """Store a secret of each kind; return them."""
    planted: list[str] = []

    def make() -> str:
        planted.append(secrets.token_hex(LENGTH))
        return planted[-1]

    token = deployment.token()
    accounts: dict[str, tuple[str, dict[str, Any]]] = {
        "smtp": ("smtp", {"host": "127.0.0.1", "port": 9, "username": "a@example.com", "sender": "a@example.com"}),
        "aliyun": ("sms", {"access_key_id": "LTAI-planted", "sign_name": "天存", "template": "SMS_1"}),
    }
    secret_fields = {"smtp": ("password",), "aliyun": ("access_key_secret", "hook_secret")}
    for kind, (method, public) in accounts.items():
        for _ in ("first version", "second version"):
            settings = {**public, **{name: make() for name in secret_fields[kind]}}
            settings |= {"endpoint": "http://127.0.0.1:9/"} if kind == "aliyun" else {}
            body = {"method": method, "name": f"p-{kind}", "kind": kind, "settings": settings}
            known = deployment.call(
                "PATCH", f"/api/v2/providers/{method}/p-{kind}", {"settings": settings}, token=token
            )
            if known["errorCode"]:
                made = deployment.call("POST", "/api/v2/providers", body, token=token)
                assert made["errorCode"] == 0, made
    deployment.call("POST", "/api/v2/register", {"token": token, "username": "planted", "password": make()})
    planted.append(deployment.call("POST", "/api/v2/me/totp", token=token)["secret"])
    planted.append(deployment.new_key("query").rpartition("_")[2])
    callback = {"url": "https://example.com/callback", "events": ["message.failed"]}
    planted.append(deployment.call("POST", "/api/v2/callbacks", callback, token=token)["secret"].removeprefix("whsec_"))
    return planted


def listen(page: Page) -> list[str]:
    """Record whatever the page receives by its socket."""
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame))))
    return frames


def test_no_page_and_no_form_holds_a_secret(fresh: Deployment, visit: Visits) -> None:
    planted = plant(fresh)
    token = fresh.token()
    wait(
        lambda: any(provider["attention"] for provider in fresh.look_up("/api/v2/providers", token=token)["providers"]),
        120,
    )
    seen = visit(Look("zh", DESK), fresh.url)
    page = seen.page
    received = listen(page)
    log_in(seen)
    open_page(page, "/")
    drawn: list[str] = []
    listed = page.locator(".side-item").evaluate_all("items => items.map(item => item.getAttribute('href'))")
    assert {"/providers", "/keys", "/callbacks", "/users", "/audit"} <= set(listed), listed
    for path in (*listed, "/password", "/totp"):
        open_page(page, path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_load_state("networkidle")
        drawn.append(page.content())
    open_page(page, "/providers")
    for name in ("p-smtp", "p-aliyun"):
        page.get_by_role("button", name=f"修改 {name}").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("button", name="检查并保存")).to_be_visible()
        drawn.append(page.content())
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        choose_in_menu(page, f"{name} 的更多操作", "版本")
        expect(page.get_by_role("button", name="恢复第 1 版")).to_be_visible()
        drawn.append(page.content())
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
    shown = "\n".join([*drawn, *received])
    assert "p-aliyun" in shown
    assert any("p-aliyun" in frame for frame in received), "what the socket brings is looked at"
    assert len(planted) == len(set(planted)) == 10, planted
    assert [secret for secret in planted if secret in shown] == []
