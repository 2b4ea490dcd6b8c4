"""POST /api/send from the token to the broker."""

from imsg_testing.gateway import World


async def test_a_mail_is_accepted_and_stands_at_the_broker(gateway: World) -> None:
    token = await gateway.user()
    answer = await gateway.send(token=token)
    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert body == {"errorCode": 0, "errorMessage": "OK", "id": body["id"], "count": 1}
    (job,) = await gateway.jobs()
    assert job.request == body["id"]
    assert job.username == "zhang"
    assert job.content == {"subject": "开会通知", "text": "下午两点半"}
    assert [(one.n, one.to, one.address) for one in job.recipients] == [(0, "li@example.com", "li@example.com")]
