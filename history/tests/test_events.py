"""Reading what the broker brings."""

import json

import pytest

from imsg_contract.topology import DEAD
from imsg_contract.wire import Change, Outcomes, Receipt, Status
from imsg_history.facts import AcceptedJob, DeadLetter, read_fact
from imsg_testing.history import job, make_delivery, outcome, receipt


def test_each_key_is_read_as_its_kind() -> None:
    accepted_job = job()
    sent = outcome(accepted_job, Status.SENT, provider_id="Q")
    change = Change(actor="admin", action="modify", target="张三", at=accepted_job.accepted_at)
    kinds = [
        type(read_fact(make_delivery(message)))
        for message in (accepted_job, sent, receipt(sent, "a@example.com"), change)
    ]
    assert kinds == [AcceptedJob, Outcomes, Receipt, Change]


@pytest.mark.parametrize(
    ("body", "key", "detail"),
    [
        (b"", "outcome", "Invalid JSON"),
        (b"{}", "job.smtp.single", "request: Field required"),
        (b"\xff\xfe", "receipt", "Invalid JSON"),
        (b"{}", "nothing.of.ours", "no kind of message"),
        (b'{"v":2,"outcomes":[]}', "outcome", "v: Input should be 1"),
    ],
)
def test_what_cannot_be_read_is_dead_with_the_reason(body: bytes, key: str, detail: str) -> None:
    event = read_fact(make_delivery(body, key))
    assert isinstance(event, DeadLetter)
    assert event.reason == "unreadable"
    assert detail in (event.detail or "")
    assert event.body == body


def test_the_reason_never_quotes_the_body() -> None:
    body = json.dumps({"outcomes": [{"request": "secret words", "n": "secret words"}]}).encode()
    event = read_fact(make_delivery(body, "outcome"))
    assert isinstance(event, DeadLetter)
    assert "secret" not in (event.detail or "")


def test_a_job_without_recipients_or_with_numbers_no_row_holds_is_dead() -> None:
    empty, huge = job(to=()), job()
    body = huge.model_dump_json().replace('"n":0', '"n":2147483648').encode()
    for event in (read_fact(make_delivery(empty, "job.smtp.bulk")), read_fact(make_delivery(body, "job.smtp.single"))):
        assert isinstance(event, DeadLetter)


def test_a_lone_surrogate_does_not_make_an_outcome_unreadable() -> None:
    failed = outcome(job(), Status.FAILED).model_dump(mode="json")
    body = json.dumps({"outcomes": [{**failed, "detail": "half \ud83d of a 😀 pair"}]}).encode()
    event = read_fact(make_delivery(body, "outcome"))
    assert isinstance(event, Outcomes)
    assert event.outcomes[0].detail == "half \ufffd of a 😀 pair"


def test_a_dead_lettered_job_keeps_its_reason_and_its_queue() -> None:
    event = read_fact(make_delivery(job(), DEAD, reason="unreadable: no such template", queue="imsg.sms.bulk"))
    assert isinstance(event, DeadLetter)
    assert (event.reason, event.detail, event.queue) == ("unreadable", "no such template", "imsg.sms.bulk")
    assert event.job is not None


def test_a_dead_body_of_whatever_depth_is_dead() -> None:
    event = read_fact(make_delivery(b'["\\ud800",' + b"[" * 100_000, DEAD, reason="r", queue="q"))
    assert isinstance(event, DeadLetter)
    assert event.job is None


def test_a_job_moved_by_the_broker_itself_is_dead_whatever_its_key() -> None:
    headers = {"x-death": "[]", "x-first-death-queue": "imsg.smtp.single"}
    for key in ("imsg.history", "job.smtp.single"):
        event = read_fact(make_delivery(job(), key, **headers))
        assert isinstance(event, DeadLetter)
        assert (event.reason, event.queue) == ("delivery_limit", "imsg.smtp.single")


def test_the_same_dead_delivery_has_the_same_id_and_another_has_another() -> None:
    first, second = job(), job()
    names = {read_fact(make_delivery(dead, DEAD, reason="r", queue="q")).id for dead in (first, first, second)}  # type: ignore[union-attr]
    assert len(names) == 2
