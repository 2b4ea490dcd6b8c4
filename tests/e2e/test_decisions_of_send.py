"""Each decision of the interface about sending, in v1 and v2."""

import base64
import re
import time
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from imsg_testing.api import PASSWORD
from imsg_testing.api_checks import VersionedApi
from imsg_testing.deployment import Deployment, make_attachment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("decisions")

LIMIT = re.compile(r'"(hour|day)";r=(\d+);t=(\d+)')
POLICY = '"hour";q=5;w=3600, "day";q=20;w=86400'

KIBI = 1024


def test_checks_come_in_their_order(decided: VersionedApi) -> None:
    """Everything is wrong at first; what was answered is put right, one after the other."""
    name = decided.api.new_user(per_hour=0, available=False)
    body: dict[str, Any] = {"token": "forged", "to": "no one@", "method": "fax", "account": 5, "attachment": 5}
    steps: list[tuple[int, int, dict[str, Any]]] = [
        (10005, 401, {"token": decided.api.token(name, "correct horse")}),
        (10002, 400, {"content": 5}),
        (10008, 400, {"method": "smtp"}),
        (10017, 400, {"account": None}),
        (10011, 400, {"to": "zhang@example.com"}),
        (10009, 400, {"content": {"subject": "hi", "text": "您好"}}),
        (10010, 400, {"attachment": None}),
    ]
    decided.check_refused(decided.ask("POST", "/api/send", b"{"), 10001, 400)
    for code, column, remedy in steps:
        decided.check_refused(decided.ask("POST", "/api/send", body), code, column)
        body |= remedy
    decided.check_refused(decided.ask("POST", "/api/send", body), 10016, 403, "sending_disabled")
    opened = {"token": decided.api.token(), "per_hour": 0, "per_day": 9, "available": True}
    decided.check_ok(decided.ask("POST", f"/api/modify/{name}", opened))
    decided.check_refused(decided.ask("POST", "/api/send", body), 10013, 429, "per_hour_used_up")
    decided.check_ok(decided.ask("POST", f"/api/modify/{name}", {**opened, "per_hour": 1}))
    decided.check_ok(decided.ask("POST", "/api/send", body))


def left_of_hour(zone: str) -> float:
    """Return how many seconds the present hour of a time zone goes on."""
    now = datetime.now(ZoneInfo(zone))
    return (now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1) - now).total_seconds()


def test_one_request_counts_once_and_the_sixth_of_an_hour_is_refused_until_the_clock_hour_ends(
    undecided: Deployment,
    decided: VersionedApi,
) -> None:
    token = decided.api.new_user_token()
    for left in (4, 3, 2, 1, 0):
        before = left_of_hour(undecided.zone)
        answer = decided.send(token, to=["a@example.com", "b@example.com"])
        assert decided.check_ok(answer)["count"] == 2
        assert answer.headers["ratelimit-policy"] == POLICY
        hour, day = LIMIT.findall(answer.headers["ratelimit"])
        assert (hour[:2], day[:2]) == (("hour", str(left)), ("day", str(left + 15)))
        assert before + 1 >= int(hour[2]) >= left_of_hour(undecided.zone) - 1
    before = left_of_hour(undecided.zone)
    over = decided.send(token)
    detail = decided.check_refused(over, 10013, 429, "per_hour_used_up")["detail"]
    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:00:00[+-]\d\d:\d\d", detail)
    assert before + 1 >= int(over.headers["retry-after"]) >= left_of_hour(undecided.zone) - 1
    assert over.headers["ratelimit-policy"] == POLICY


def test_a_refusal_uses_up_no_limit_and_sends_nothing(decided: VersionedApi) -> None:
    token = decided.user(per_hour=1)
    refused: list[dict[str, Any]] = [{"to": []}, {"content": 5}, {"attachment": 5}, {"method": "fax"}]
    for wrong in (*refused, {"to": ["ok@example.com", "no one@"]}):
        assert decided.send(token, **wrong).json()["errorCode"] != 0
    decided.check_ok(decided.send(token))
    shown = decided.check_ok(decided.ask("GET", "/api/query", token=token, to="ok@example.com"))
    assert shown["messages"] == []


def test_white_space_in_tokens_and_files_is_dropped_as_java_wraps_them(decided: VersionedApi) -> None:
    token = decided.user()
    wrapped = base64.encodebytes(bytes(range(256)) * 9).decode().replace("\n", "\r\n")
    decided.check_ok(decided.send(token, attachment={"filename": "报告.bin", "file": wrapped}))
    decided.check_ok(decided.send("\r\n".join(token[at : at + 19] for at in range(0, len(token), 19)) + "\t "))
    for other in ("aG-_", "aGk=\u3000", "aGk", "data:text/plain;base64,aGk="):
        answer = decided.send(token, attachment={"filename": "a", "file": other})
        assert "base64" in decided.check_refused(answer, 10010, 400)["detail"]


def test_usernames_stand_for_their_contact_among_addresses_and_doubles_are_sent_once(decided: VersionedApi) -> None:
    token, email = decided.user(), f"{time.time_ns()}@example.com"
    name = decided.api.new_user(email=email)
    accepted = decided.check_ok(
        decided.send(token, to=[name, email, email.replace("example", "EXAMPLE"), "li@example.com"])
    )
    assert accepted["count"] == 2
    shown = decided.api.wait_settled(accepted["id"], 2)
    assert {message["to"] for message in shown} == {name, "li@example.com"}
    assert {message["id"] for message in shown} == {f"{accepted['id']}-{n}" for n in (0, 1)}


def test_10011_names_who_can_not_be_a_recipient_and_send_never_answers_10006(decided: VersionedApi) -> None:
    token, without = decided.user(), decided.api.new_user()
    for wrong in ("nobody", without, "13800138000", "a@b@c.com", ""):
        detail = decided.check_refused(decided.send(token, to=["a@example.com", wrong]), 10011, 400)["detail"]
        assert f"“{wrong}”" in detail
    nobody: list[Any] = [[], 5, {}, [5], [None], True]
    for none in nobody:
        decided.check_refused(decided.send(token, to=none), 10011, 400)


def test_10_000_recipients_are_taken_whole_or_refused_whole(decided: VersionedApi) -> None:
    token = decided.user()
    everybody = [f"reader{n}@sandbox.example" for n in range(10_000)]
    one_wrong = [*everybody[:7_777], "no one@", *everybody[7_778:]]
    assert "no one@" in decided.check_refused(decided.send(token, to=one_wrong), 10011, 400)["detail"]
    assert (
        "10001" in decided.check_refused(decided.send(token, to=[*everybody, "more@example.com"]), 10011, 400)["detail"]
    )
    if decided.is_v2:  # what is taken goes one way, and v1 tries it; here the check is the same
        mail = {"token": token, "to": everybody, "method": "smtp", "content": {"subject": "hi", "text": "您好"}}
        checked = decided.check_ok(decided.ask("POST", "/api/v2/messages/check", mail))
        assert (checked["count"], checked["problems_total"]) == (10_000, 0)
        return
    accepted = decided.check_ok(decided.send(token, to=everybody))
    assert accepted["count"] == 10_000
    # What others send to lists would wait behind it. History knows of it a moment later.
    path = f"/api/v2/requests/{accepted['id']}/cancel"
    wait(lambda: decided.ask("POST", path, {"token": token}).json()["errorCode"] == 0, 120, every_s=0.5)


def test_more_than_100_unknown_recipients_an_hour_are_too_many_tries(decided: VersionedApi) -> None:
    token = decided.user()
    decided.check_refused(decided.send(token, to=[f"guess{n}" for n in range(100)]), 10011, 400)
    answer = decided.send(token, to="guess100")
    decided.check_refused(answer, 10016, 429, "too_many_tries")
    assert 0 < int(answer.headers["retry-after"]) <= 3600
    decided.check_ok(decided.send(token))


@pytest.mark.parametrize(
    ("content", "is_taken"),
    [
        ({"subject": "天" * 255, "text": "x"}, True),
        ({"subject": "天" * 256, "text": "x"}, False),
        ({"subject": "a\r\nBcc: x@example.com", "text": "x"}, False),
        ({"subject": "a", "text": ""}, False),
        ({"subject": "a", "text": "", "html": "<p>您好</p>"}, True),
        ({"subject": "a", "text": "x", "html": None}, True),
        ({"subject": "a"}, False),
        ({"subject": "a", "text": "x" * (KIBI * KIBI - 1)}, True),
        ({"subject": "a", "text": "x" * KIBI * KIBI}, False),
        ("text", False),
    ],
)
def test_10009_the_content_of_a_mail(decided: VersionedApi, content: object, *, is_taken: bool) -> None:
    answer = decided.send(decided.user(), content=content)
    if is_taken:
        decided.check_ok(answer)
    else:
        decided.check_refused(answer, 10009, 400)


def test_10009_an_sms_has_at_most_500_characters_and_its_answer_holds_the_segments(decided: VersionedApi) -> None:
    token = decided.user()
    assert decided.check_ok(decided.send(token, method="sms", to="13800138000", content="天" * 71))["segments"] == 2
    for wrong in ("x" * 501, "", 5, {"subject": "a", "text": "b"}):
        answer = decided.send(token, method="sms", to="13800138000", content=wrong)
        decided.check_refused(answer, 10009, 400)


def test_10010_attachments_one_or_a_list_of_10_mib_in_all_and_for_mail_alone(decided: VersionedApi) -> None:
    token, half = decided.user(), make_attachment("半.bin", bytes(5 * KIBI * KIBI))
    decided.check_ok(decided.send(token, attachment=[half, half], content={"subject": "only files", "text": ""}))
    decided.check_refused(decided.send(token, attachment=[half, half, make_attachment("a", b"x")]), 10010, 400)
    for filename in ("../a", "a\\b", "a\r\nb", "", None, "..", "\0"):
        decided.check_refused(decided.send(token, attachment={"filename": filename, "file": "aGk="}), 10010, 400)
    sms = decided.send(token, method="sms", to="13800138000", content="hi", attachment=make_attachment("a", b"x"))
    decided.check_refused(sms, 10010, 400)


def test_10015_an_account_that_is_not_configured(decided: VersionedApi) -> None:
    answer = decided.send(decided.user(), method="wechat", to="84G-7ZW-YRB", content="hi", account="nobody")
    decided.check_refused(answer, 10015, 400)


def test_an_idempotency_key_replays_the_first_answer_and_counts_once(decided: VersionedApi) -> None:
    token, key = decided.user(per_hour=2), {"Idempotency-Key": "order-1"}
    decided.check_refused(decided.send(token, key, to=[]), 10011, 400)
    first = decided.send(token, key)
    again = decided.send(f"{token}\n", key)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert "idempotent-replayed" not in first.headers
    decided.check_refused(decided.send(token, key, to="li@example.com"), 10016, 409, "key_reused")
    assert decided.check_ok(decided.send(decided.user(), key))["id"] != decided.check_ok(first)["id"]
    decided.check_ok(decided.send(token))
    decided.check_refused(decided.send(token), 10013, 429)
    assert decided.send(token, key).content == first.content


@pytest.mark.parametrize("key", ["", "x" * 129, "a b", "a\tb"])
def test_an_idempotency_key_is_1_to_128_visible_ascii_characters(decided: VersionedApi, key: str) -> None:
    decided.check_refused(decided.send(decided.user(), {"Idempotency-Key": key}), 10017, 400)


def test_modify_is_in_force_for_the_very_next_send(decided: VersionedApi) -> None:
    name = decided.api.new_user(per_hour=1)
    token = decided.api.token(name, "correct horse")
    limits = {"token": decided.api.token(), "per_day": 9, "per_hour": 9}
    for available in (False, True) * 3:
        decided.check_ok(decided.ask("POST", f"/api/modify/{name}", {**limits, "available": available}))
        assert decided.send(token).json()["errorCode"] == (0 if available else 10016)


def test_recipients_per_day_are_counted_beside_the_requests(decided: VersionedApi) -> None:
    name = decided.api.new_user()
    token, limit = decided.api.token(name, "correct horse"), {"token": decided.api.token(), "recipients_per_day": 3}
    decided.check_ok(decided.ask("PATCH", f"/api/v2/users/{name}", limit))
    decided.check_ok(decided.send(token, to=["a@example.com", "b@example.com"]))
    over = decided.send(token, to=["c@example.com", "d@example.com"])
    decided.check_refused(over, 10013, 429, "recipients_per_day_used_up")
    decided.check_ok(decided.send(token, to="c@example.com"))


def test_a_code_is_for_who_may_send_codes_to_one_recipient_for_ten_minutes(decided: VersionedApi) -> None:
    """v1 ignores the category, says so, and sends a notice."""
    api, name = decided.api, decided.api.new_user()
    token = api.token(name, "correct horse")
    if not decided.is_v2:
        answer = decided.send(token, category="code")
        assert answer.headers["x-imsg-ignored"] == "category"
        sent = decided.check_ok(answer)
        api.wait_settled(sent["id"])
        shown = api.call("GET", f"/api/v2/requests/{sent['id']}", token=token)
        assert shown["category"] == "notice"
        return
    decided.check_refused(decided.send(token, category="code"), 10016, 403, "may_not_send_codes")
    may = decided.check_ok(
        decided.ask("PATCH", f"/api/v2/users/{name}", {"token": api.token(), "may_send_codes": True})
    )
    assert may["may_send_codes"] is True
    to = ["a@example.com", "b@example.com"]
    decided.check_refused(decided.send(token, category="code", to=to), 10011, 400, "recipients_invalid")
    decided.check_refused(decided.send(token, category="code", expires_in=601), 10017, 400, "wrong_type")
    decided.check_refused(decided.send(token, category="otp"), 10017, 400, "wrong_type")
    sent = decided.check_ok(decided.send(token, category="code", to="a@example.com"))
    (message,) = api.wait_settled(sent["id"])
    assert message["status"] == "sent"
    (listed,) = api.call("GET", "/api/v2/messages", token=token, id=sent["id"])["messages"]
    assert listed["category"] == "code"
    assert api.call("GET", f"/api/v2/requests/{sent['id']}", token=token)["category"] == "code"


def test_resend_makes_a_new_request_of_what_failed_for_its_owner_or_an_administrator(decided: VersionedApi) -> None:
    token = decided.user(per_hour=3)
    old = decided.check_ok(decided.send(token, to=["bounce@example.com", "li@example.com"]))["id"]
    decided.api.wait_settled(old, 2)
    new = decided.check_ok(decided.ask("POST", "/api/v2/resend", {"token": token, "id": old.upper()}))
    assert (new["count"], new["id"] != old) == (1, True)
    (message,) = decided.api.wait_settled(new["id"])
    assert (message["resend_of"], message["to"], message["error"]["code"][:3]) == (old, "bounce@example.com", "550")
    admin = {"token": decided.api.token(), "id": f"{old}-0"}
    decided.check_refused(decided.ask("POST", "/api/v2/resend", admin), 10016, 409, "already_resent")
    once_more = decided.check_ok(decided.ask("POST", "/api/v2/resend", {**admin, "again": True}))
    decided.api.wait_settled(once_more["id"])
    (shown,) = decided.api.call("GET", "/api/v2/messages", token=token, id=f"{old}-0")["messages"]
    assert shown["resent_as"] == [f"{new['id']}-0", f"{once_more['id']}-0"]
    other = decided.ask("POST", "/api/v2/resend", {"token": decided.user(), "id": old})
    decided.check_refused(other, 10016, 404, "not_found")
    sent = decided.ask("POST", "/api/v2/resend", {"token": token, "id": f"{old}-1"})
    decided.check_refused(sent, 10016, 409, "nothing_to_resend")
    for wrong, code in ((None, 10002), (5, 10017), ("", 10017), (f"{old}-x", 10017)):
        decided.check_refused(decided.ask("POST", "/api/v2/resend", {"token": token, "id": wrong}), code, 400)
    decided.check_ok(decided.send(token))
    over = decided.ask("POST", "/api/v2/resend", {"token": token, "id": old, "again": True})
    decided.check_refused(over, 10013, 429)


def test_a_reference_is_shown_and_found_and_a_request_shows_its_status(decided: VersionedApi) -> None:
    token, reference = decided.user(), f"订单-{time.time_ns()}"
    answer = decided.send(token, to=["a@example.com", "bounce@example.com"], reference=reference, expires_in=3_600)
    sent = decided.check_ok(answer)
    decided.api.wait_settled(sent["id"], 2)
    shown = decided.check_ok(decided.ask("GET", f"/api/v2/requests/{sent['id']}", {"token": token}))
    assert (shown["method"], shown["category"], shown["state"]) == ("smtp", "notice", "settled")
    assert (shown["counts"]["sent"], shown["counts"]["failed"]) == (1, 1)
    found = decided.check_ok(decided.ask("GET", "/api/v2/messages", {"token": token}, None, reference=reference))
    if decided.is_v2:
        assert shown["reference"] == reference
        assert [message["id"] for message in found["messages"]] == [f"{sent['id']}-0", f"{sent['id']}-1"]
    else:  # v1 ignores what the document does not list, and says so
        assert answer.headers["x-imsg-ignored"] == "reference,expires_in"
        assert (shown["reference"], found["messages"]) == (None, [])
    stranger = decided.ask("GET", f"/api/v2/requests/{sent['id']}", {"token": decided.user()})
    decided.check_refused(stranger, 10016, 404, "not_found")


def test_a_message_whose_own_life_leaves_no_time_for_another_try_expires(undecided: Deployment) -> None:
    decided = VersionedApi(undecided, is_v2=True)
    sent = decided.check_ok(decided.send(decided.user(), to="full@example.com", expires_in=30))
    (message,) = decided.api.wait_settled(sent["id"])
    assert message["status"] == "expired"


def test_a_check_sends_nothing_and_reports_what_a_send_would_meet(decided: VersionedApi) -> None:
    token = decided.user(per_hour=2)
    body: dict[str, Any] = {"token": token, "to": ["a@example.com", "a@example.com", "nobody-at-all"], "method": "smtp"}
    body["content"] = {"subject": "hi", "text": "您好"}
    checked = decided.check_ok(decided.ask("POST", "/api/v2/messages/check", body))
    assert (checked["count"], checked["duplicates"], checked["problems_total"]) == (1, 1, 1)
    assert ("per_hour", 2, 2) in [(row["id"], row["limit"], row["left"]) for row in checked["quotas"]]
    assert decided.check_ok(decided.ask("GET", "/api/query", token=token))["messages"] == []


def test_a_mail_goes_by_a_sender_of_the_users_alone(decided: VersionedApi) -> None:
    """v1 knows no senders. What is changed holds for the very next send."""
    if not decided.is_v2:
        return
    api, name = decided.api, decided.api.new_user()
    token = api.token(name, "correct horse")

    def allow(senders: object) -> object:
        changed = {"token": api.token(), "senders": senders}
        return decided.check_ok(decided.ask("PATCH", f"/api/v2/users/{name}", changed))["senders"]

    assert api.call("GET", "/api/v2/me", token=token)["senders"] is None
    decided.check_ok(decided.send(token, sender="news"))
    assert allow(["alerts", "alerts"]) == ["alerts"]
    decided.check_refused(decided.send(token, sender="news"), 10016, 403, "may_not_send_by")
    decided.check_ok(decided.send(token))
    assert allow([]) == []
    decided.check_refused(decided.send(token, sender="alerts"), 10016, 403, "may_not_send_by")
    assert allow(None) is None
    decided.check_ok(decided.send(token, sender="alerts"))
    admin = api.token()
    mail = {"token": admin, "to": "a@example.com", "method": "smtp", "content": {"subject": "hi", "text": "您好"}}
    for field, there_are in (("sender", "现有 alerts、news"), ("reply_to", "现有 help"), ("provider", "现有 default")):
        for path in ("/api/v2/messages/check", "/api/v2/messages"):
            refused = decided.ask("POST", path, {**mail, field: "nobody"})
            assert there_are in decided.check_refused(refused, 10017, 400, "wrong_type")["detail"]
    wrong = decided.ask("PATCH", f"/api/v2/users/{name}", {"token": api.token(), "senders": ["Not A Name"]})
    decided.check_refused(wrong, 10017, 400, "wrong_type")


def test_a_recipient_of_v2_may_have_a_display_name(undecided: Deployment) -> None:
    token = undecided.new_user_token()
    written = ["王芳 <wang.fang@example.com>", '"Doe, Jane" <jane@example.com>', "WANG.fang@example.com"]
    body = {"token": token, "to": written, "method": "smtp", "content": {"subject": "带名字", "text": "t"}}
    refused = undecided.call("POST", "/api/send", body)
    assert (refused["errorCode"], refused["reason"]) == (10011, "recipients_invalid")

    sent = undecided.call("POST", "/api/v2/messages", body)

    assert sent["count"] == 2
    assert [message["to"] for message in undecided.wait_settled(sent["id"], 2)] == written[:2]
    heads = " ".join(str(mail) for mail in undecided.inbox(to="wang.fang@example.com"))
    assert "wang.fang@example.com" in heads
    found = undecided.call("GET", "/api/v2/messages", token=token, to="jane@example.com")["messages"]
    assert [message["to"] for message in found] == [written[1]]
    bad = undecided.call(
        "POST", "/api/v2/messages", body | {"to": ["x <y>", "王芳 <a@example.com", "a\u0007 <a@example.com>"]}
    )
    assert bad["errorCode"] == 10011


def test_a_user_learns_which_senders_and_reply_to_addresses_they_may_name(decided: VersionedApi) -> None:
    api = decided.api
    limited = api.new_user()
    answer = api.call("PATCH", f"/api/v2/users/{limited}", {"token": api.token(), "senders": ["news"]})
    assert answer["errorCode"] == 0

    def names(token: str, method: str = "smtp") -> tuple[list[str], list[str]]:
        channels = api.call("GET", "/api/v2/channels", token=token)["channels"]
        (channel,) = (channel for channel in channels if channel["method"] == method)
        return channel["senders"], channel["reply_to"]

    assert names(api.token(limited, PASSWORD)) == (["news"], ["help"])
    assert names(api.token()) == names(api.new_user_token()) == (["alerts", "news"], ["help"])
    assert names(api.token(), "sms") == ([], [])
