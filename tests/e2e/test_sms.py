"""SMS through the public API: the text arrives, and a receipt gives the result."""

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of sending")

ARRIVED = "【天存】您有一条新通知：明天下雨，请及时查看。"


def number() -> str:
    """Choose a number that no other story sends to."""
    return f"137{secrets.randbelow(10**8):08d}"


def send(deployment: Deployment, to: str | Sequence[str], content: Any = "明天下雨") -> dict[str, Any]:  # noqa: ANN401
    """Send an SMS as the document's example does."""
    body = {"token": deployment.token(), "to": to, "method": "sms", "content": content}
    return deployment.call("POST", "/api/send", body)


def wait_for_status(deployment: Deployment, request: str, status: str, within_s: float = 60.0) -> list[dict[str, Any]]:
    """Wait until every message of a request has this status; return them."""
    results: list[dict[str, Any]] = []

    def all_have() -> bool:
        results[:] = deployment.messages(request)
        return bool(results) and all(message["status"] == status for message in results)

    wait(all_have, within_s, every_s=0.1, why=lambda: f"not {status}: {results[:3]}\n{deployment.logs}")
    return results


def report(deployment: Deployment, *entries: object, secret: str | None = None) -> httpx.Response:
    """Push receipts as the provider does."""
    kept = (deployment.data / "secrets" / "sms_hook_secret").read_text().strip()
    return httpx.post(f"{deployment.url}/hooks/sms/aliyun/{secret or kept}", json=list(entries), timeout=60)


def entry(message: dict[str, Any], *, success: bool, at: str = "2026-11-25 10:00:00") -> dict[str, Any]:
    """Write a receipt of a message."""
    return {
        "phone_number": message["to"],
        "send_time": at,
        "report_time": at,
        "success": success,
        "err_code": "DELIVERED" if success else "MK:0001",
        "err_msg": "用户接收成功" if success else "空号",
        "sms_size": "1",
        "biz_id": message["provider_id"],
        "out_id": message["id"],
    }


def test_one_sms_arrives_as_text_and_its_receipt_comes(deployment: Deployment) -> None:
    to = number()
    answer = send(deployment, to)
    assert (answer["errorCode"], answer["count"], answer["segments"]) == (0, 1, 1)
    (message,) = wait_for_status(deployment, answer["id"], "delivered")
    assert (message["provider"], message["segments"], message["error"]) == ("aliyun", 1, None)
    (kept,) = deployment.inbox(to=to)
    assert (kept["method"], kept["from"], kept["text"]) == ("sms", "天存", ARRIVED)
    assert answer["id"] in kept["raw"]


def test_many_sms_travel_in_one_call_and_each_is_delivered(deployment: Deployment) -> None:
    everybody = [number() for _ in range(120)]
    answer = send(deployment, everybody)
    assert answer["count"] == 120
    messages = wait_for_status(deployment, answer["id"], "delivered")
    assert len({message["provider_id"] for message in messages}) == 1
    assert [message["to"] for message in deployment.inbox(method="sms") if message["to"] in everybody] == everybody


def test_a_username_stands_for_its_number(deployment: Deployment) -> None:
    to = number()
    answer = send(deployment, deployment.new_user(phone=to))
    wait_for_status(deployment, answer["id"], "delivered")
    assert [message["text"] for message in deployment.inbox(to=to)] == [ARRIVED]


def test_a_template_is_sent_with_its_own_variables(deployment: Deployment) -> None:
    to = number()
    answer = send(deployment, to, {"template": "SMS_100000002", "params": {"code": "246810"}})
    wait_for_status(deployment, answer["id"], "delivered")
    assert [message["text"] for message in deployment.inbox(to=to)] == [
        "【天存】您的验证码为246810，五分钟内有效，请勿告诉他人。"
    ]


@pytest.mark.parametrize(
    "content",
    [
        "看 https://example.com",
        "【天存】",
        "长" * 36,
        {"template": "SMS_100000002", "params": {}},
        {"template": "SMS_100000002", "params": {"code": "1234567"}},
        {"template": "SMS_0", "params": {}},
    ],
)
def test_what_the_provider_would_refuse_is_refused_at_once(deployment: Deployment, content: Any) -> None:  # noqa: ANN401
    assert send(deployment, number(), content)["errorCode"] == 10009


def test_a_bad_number_fails_alone(deployment: Deployment) -> None:
    good = [number() for _ in range(3)]
    answer = send(deployment, [*good, "19900000002"])
    wait(lambda: {m["status"] for m in deployment.messages(answer["id"])} == {"delivered", "failed"}, 60, every_s=0.1)
    messages = {message["to"]: message for message in deployment.messages(answer["id"])}
    assert messages["19900000002"]["error"]["code"] == "isv.MOBILE_NUMBER_ILLEGAL"
    assert {messages[to]["status"] for to in good} == {"delivered"}


def test_a_receipt_may_come_before_the_answer_and_may_report_a_failure(deployment: Deployment) -> None:
    wait_for_status(deployment, send(deployment, "19900000005")["id"], "delivered")
    (failed,) = wait_for_status(deployment, send(deployment, "19900000001")["id"], "failed")
    assert failed["error"] == {"code": "MK:0001", "detail": "用户未接收"}


def test_receipts_shuffled_and_repeated_end_in_the_same(deployment: Deployment) -> None:
    deployment.order("lost_receipt", times=2, method="sms")
    answer = send(deployment, [number(), number()])
    first, second = wait_for_status(deployment, answer["id"], "sent")
    pushes = [entry(first, success=True), entry(second, success=False), entry(first, success=True)] * 4
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda push: report(deployment, push), pushes))
    assert [answer.json() for answer in answers] == [{"code": 0, "msg": "接收成功"}] * 12
    wait(lambda: {m["status"] for m in deployment.messages(answer["id"])} == {"delivered", "failed"}, 60, every_s=0.1)
    assert report(deployment, entry(first, success=False, at="2026-11-25 11:00:00"), "nonsense", {}).json()["code"] == 0
    (message,) = deployment.messages(first["id"])
    timeline = deployment.call("GET", "/api/query", id=first["id"], token=deployment.token())["messages"][0]["timeline"]
    assert message["status"] == "delivered"
    assert len([line for line in timeline if "delivered" in line.values()]) == 1


def test_a_forged_receipt_finds_nothing_there(deployment: Deployment) -> None:
    deployment.order("lost_receipt", method="sms")
    (message,) = wait_for_status(deployment, send(deployment, number())["id"], "sent")
    answer = report(deployment, entry(message, success=False), secret="guessed")
    assert answer.status_code == 404
    assert (answer.json()["errorCode"], answer.json()["reason"]) == (10001, "no_such_url")
    assert deployment.client.get("/hooks/sms/aliyun/guessed").status_code in {404, 405}
    assert deployment.messages(message["id"])[0]["status"] == "sent"


def test_what_is_no_report_is_not_called_kept(deployment: Deployment) -> None:
    secret = (deployment.data / "secrets" / "sms_hook_secret").read_text().strip()
    url = f"/hooks/sms/aliyun/{secret}"
    assert deployment.client.post(url, content=b"{not json").json()["code"] != 0
    assert deployment.client.post(url, content=b"5").json()["code"] != 0
    assert deployment.client.post(url, content=b"[" + b" " * 5_000_000 + b"]").json()["errorCode"] == 10001


@pytest.mark.long
def test_what_was_never_answered_is_found_and_sent_once(deployment: Deployment) -> None:
    """The first question is asked after 30 s."""
    to = number()
    deployment.order("reset_after", method="sms")
    answer = send(deployment, to)
    (message,) = wait_for_status(deployment, answer["id"], "delivered", within_s=80)
    assert message["attempts"] == 1
    assert len(deployment.inbox(to=to)) == 1


def test_what_people_answer_is_kept_and_shown_to_who_asked(deployment: Deployment) -> None:
    """Answered in the sandbox, pushed as Aliyun does; a user sees theirs, the administrator all, strangers none."""
    mine, stranger, to = deployment.new_user_token(), deployment.new_user_token(), number()
    body = {"to": to, "method": "sms", "content": "明天下雨", "reference": "brolly"}
    sent = deployment.call("POST", "/api/v2/messages", body, token=mine)
    wait_for_status(deployment, sent["id"], "delivered")
    for text in ("好的", "退订"):
        answer = deployment.call("POST", "/sandbox/sms/replies", {"from": to, "text": text})
        assert (answer["provider"], answer["kept"]) == ("aliyun", True)
    results: list[dict[str, Any]] = []

    def are_kept() -> bool:
        results[:] = deployment.call("GET", "/api/v2/replies", token=mine, id=f"{sent['id']}-0")["replies"]
        return len(results) == 2

    wait(are_kept, 60, every_s=0.1)
    assert {(result["text"], result["opt_out"], result["from"], result["signature"]) for result in results} == {
        ("好的", False, to, "天存"),
        ("退订", True, to, "天存"),
    }
    assert {result["reference"] for result in results} == {"brolly"}
    assert deployment.call("GET", "/api/v2/replies", token=stranger)["replies"] == []
    everything = deployment.call("GET", "/api/v2/replies", token=deployment.token(), **{"from": to})
    assert len(everything["replies"]) == 2
    nobody = deployment.call("POST", "/sandbox/sms/replies", {"from": number(), "text": "?"})
    assert nobody["reason"] == "not_found"


def test_a_person_who_opts_out_gets_codes_alone_until_they_opt_in(deployment: Deployment) -> None:
    """By the reply in the sandbox, Aliyun's push, history's match, the catalog, and the claim of the next message."""
    to, token = number(), deployment.token()
    may = deployment.call("PATCH", "/api/v2/users/admin", {"may_send_codes": True}, token=token)
    assert may["errorCode"] == 0

    def send_of(category: str) -> str:
        body = {"to": to, "method": "sms", "content": "明天下雨", "category": category}
        sent = deployment.call("POST", "/api/v2/messages", body, token=token)
        assert sent["errorCode"] == 0, sent
        return str(sent["id"])

    def answer(text: str, kept: set[str]) -> None:
        assert deployment.call("POST", "/sandbox/sms/replies", {"from": to, "text": text})["kept"]
        wait(lambda: list_kept_back() == kept, 60, every_s=0.1, why=lambda: f"{list_kept_back()}\n{deployment.logs}")

    def list_kept_back() -> set[str]:
        suppressions = deployment.call("GET", "/api/v2/suppressions", token=token, method="sms", to=to)["suppressions"]
        return {suppression["scope"]["category"] for suppression in suppressions}

    headers = {"authorization": f"Bearer {token}", "if-match": "*"}
    assert deployment.client.put("/api/v2/windows", json={"windows": []}, headers=headers).json()["errorCode"] == 0
    wait_for_status(deployment, send_of("notice"), "delivered")
    answer("退订", {"notice", "marketing"})
    for category in ("notice", "marketing"):
        (failed,) = wait_for_status(deployment, send_of(category), "failed")
        assert failed["error"]["code"] == "suppressed"
    wait_for_status(deployment, send_of("code"), "delivered")
    assert len(deployment.inbox(to=to)) == 2

    answer("恢复", set())
    wait_for_status(deployment, send_of("notice"), "delivered")
    wait_for_status(deployment, send_of("marketing"), "delivered")


def test_a_receipt_of_a_blacklisted_number_keeps_the_next_notice_back_and_shows_why(deployment: Deployment) -> None:
    """By the provider's push, the catalog, and the claim of the next message; an administrator takes it away."""
    to, token = number(), deployment.token()
    first = send(deployment, to)
    (message,) = wait_for_status(deployment, first["id"], "delivered")
    told = {**entry(message, success=False), "err_code": "MOBILE_IN_BLACK", "err_msg": "手机号在黑名单"}
    assert report(deployment, told).json()["code"] == 0
    results: list[dict[str, Any]] = []

    def is_listed() -> bool:
        answer = deployment.call("GET", "/api/v2/suppressions", token=token, method="sms", to=to)
        results[:] = answer["suppressions"]
        return len(results) == 2

    wait(is_listed, 60, every_s=0.1, why=lambda: f"{results}\n{deployment.logs}")
    assert {result["scope"]["category"] for result in results} == {"notice", "marketing"}
    assert {(result["reason"], result["evidence"]) for result in results} == {
        ("opt_out", "MOBILE_IN_BLACK 手机号在黑名单")
    }
    (failed,) = wait_for_status(deployment, send(deployment, to)["id"], "failed")
    assert failed["error"]["code"] == "suppressed"
    for result in results:
        deployment.call("DELETE", f"/api/v2/suppressions/{result['id']}", token=token)
    wait(lambda: not is_listed() and not results, 60, every_s=0.1)
    wait_for_status(deployment, send(deployment, to)["id"], "delivered")


def test_one_system_uses_up_its_codes_and_another_still_reaches_the_number(deployment: Deployment) -> None:
    """The caps of a fresh installation: one code a minute from a user, however many log-in forms ask for one."""
    to = number()
    tokens = []
    for _ in range(2):
        name = deployment.new_user()
        deployment.call("PATCH", f"/api/v2/users/{name}", {"may_send_codes": True}, token=deployment.token())
        tokens.append(deployment.token(name, "correct horse"))

    def ask(token: str) -> dict[str, Any]:
        body = {"to": to, "method": "sms", "content": "您的验证码是 482913", "category": "code"}
        return deployment.call("POST", "/api/v2/messages", body, token=token)

    wait_for_status(deployment, ask(tokens[0])["id"], "delivered")
    refused = ask(tokens[0])
    assert (refused["errorCode"], refused["reason"], refused["cap"]) == (
        10013,
        "recipient_cap",
        "sms_code_user_per_minute",
    )
    wait_for_status(deployment, ask(tokens[1])["id"], "delivered")
    assert len(deployment.inbox(to=to)) == 2
