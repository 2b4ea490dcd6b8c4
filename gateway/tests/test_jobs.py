"""The bytes of a new Job: what `wire.Job` itself would write."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imsg_channels import BY_NAME
from imsg_contract.api_keys import CachedKey
from imsg_contract.topology import Lane
from imsg_contract.wire import Attachment, ChargeRecord, Job, Recipient, Reference
from imsg_gateway.attachments import File
from imsg_gateway.credentials import Owner
from imsg_gateway.draft import Draft
from imsg_gateway.jobs import encode, kind_of, lane_of, stamp
from imsg_limits.windows import Hold

NOW = datetime(2026, 11, 25, 8, 0, 0, 120, tzinfo=UTC)
LATER = NOW + timedelta(hours=24)
REQUEST = "0193" + "a" * 28
OWNER = Owner("天存-system-1001", "0193" + "b" * 28)
KEY = CachedKey(id="1", name="图书馆", kind="live", scopes=(), networks=(), expires_at=None)

ONE = (Recipient(n=0, to="Zhang@Example.com", address="Zhang@example.com"),)
MANY = tuple(Recipient(n=n, to=f"读者{n}", address=f"reader{n}@example.com") for n in range(3))
FILES = (File("报告.pdf", "application/pdf", b"%PDF", "ab" * 32),)


def draft(**given: Any) -> Draft:  # noqa: ANN401  any field
    """Return a draft, by default of one mail."""
    content = {"subject": "您好 \U0001f4e6", "text": 'a "quote"\n\t<b>&</b>  \x7f'}
    fields = {"method": BY_NAME["smtp"], "account": None, "recipients": ONE, "content": content}
    return Draft(**{**fields, **given})


@pytest.mark.parametrize(
    "given",
    [
        draft(),
        draft(recipients=MANY),
        draft(files=FILES),
        draft(method=BY_NAME["sms"], content="明天下雨", segments=2),
        draft(method=BY_NAME["sms"], content={"template": "SMS_1", "params": {"a": "b"}}),
        draft(method=BY_NAME["wechat"], account="main", content="您好", resend_of=f"{REQUEST}-1"),
    ],
)
@pytest.mark.parametrize("content_at", [None, Reference(sha256="cd" * 32, size=70_000)])
def test_a_job_is_written_as_the_wire_writes_it(given: Draft, content_at: Reference | None) -> None:
    job = Job(
        request=REQUEST,
        username="天存-system-1001",
        user_id=OWNER.user_id,
        method=given.method.name,
        account=given.account,
        lane=Lane.NORMAL if len(given.recipients) == 1 else Lane.BULK,
        content=None if content_at else given.content,
        content_at=content_at,
        attachments=tuple(
            Attachment(filename=file.filename, type=file.type, size=len(file.data), sha256=file.sha256)
            for file in given.files
        ),
        recipients=given.recipients,
        accepted_at=NOW,
        expires_at=LATER,
        segments=given.segments,
        resend_of=given.resend_of,
    )
    lane = lane_of(kind_of(given))
    times: dict[str, Any] = {"accepted_at": NOW, "expires_at": LATER}
    written = encode(given, REQUEST, OWNER, key=None, lane=lane, content_at=content_at, **times)
    assert written == job.encode()
    by_key = encode(given, REQUEST, OWNER, key=KEY, lane=lane, content_at=content_at, **times)
    assert by_key == job.model_copy(update={"key": "图书馆"}).encode()
    held = encode(given, REQUEST, OWNER, key=None, lane=lane, content_at=content_at, hold=Hold(LATER, "night"), **times)
    assert held == job.model_copy(update={"held_until": LATER, "held_by": "night"}).encode()
    charge = ChargeRecord(username="张三", user_id=OWNER.user_id, own={"q h0:0": 1, "p d1": 3}, of_all={"ssms M7": 2})
    for events, department in ((3, ""), (0, "研发“部”"), (0, "")):
        stamped = stamp(written, events, charge, department)
        read = Job.model_validate_json(stamped)
        assert read == job.model_copy(update={"events": events, "charge": charge, "department": department or None})
        assert stamped == read.encode()
