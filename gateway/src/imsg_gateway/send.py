"""The URLs that send: a draft, accepted once, answered; under an Idempotency-Key only once ever."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import Any

from starlette.responses import Response

from imsg_channels import BY_NAME
from imsg_channels.content import fields as content_fields
from imsg_contract.errors import Refusal
from imsg_contract.topology import SCHEDULE, job_key
from imsg_contract.wire import Content, Job
from imsg_gateway.accept import Accepted, Acceptor
from imsg_gateway.credentials import MAX_ROUNDS, Credential, DefaultCategoryChanged, Owner
from imsg_gateway.draft import Draft
from imsg_gateway.draft_reader import DraftReader
from imsg_gateway.idempotency import IdempotencyKeys, Replayed, Reservation, StoredAnswer, fingerprint, read_key
from imsg_gateway.jobs import kind_of
from imsg_gateway.request import ClientRequest
from imsg_gateway.resend import ResendRequest, Resends
from imsg_limits.admission import Admission
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_web.responses import ApiResponse, ok
from imsg_web.service_client import ServiceUnavailable

log = logger(__name__)

RETRY_AFTER_S = 2

ACCEPTED = 202

REQUESTS = "/api/v2/requests"

Read = Callable[[str], Awaitable[tuple[Draft, Owner]]]
"""Reads the draft of a request of this id, and its user."""


class SendHandler:
    """Answers the URLs that send."""

    def __init__(
        self,
        drafts: DraftReader,
        resends: Resends,
        acceptor: Acceptor,
        replays: IdempotencyKeys,
        new_id: Callable[[], str],
        *,
        admission: Admission,
    ) -> None:
        self._drafts = drafts
        self._resends = resends
        self._acceptor = acceptor
        self._replays = replays
        self._admission = admission
        self._new_id = new_id
        self._problem = RecurringProblem(log, "dependency_unavailable", quiet_s=QUIET_S)
        self._record_problem = RecurringProblem(log, "idempotency_record_not_written", quiet_s=QUIET_S)

    async def send(self, request: ClientRequest, credential: Credential) -> Response:
        """Send a message of v2; the answer is 202, since it is accepted now and sent later."""
        return _locate(await self._send(request, request.fields, credential, is_v2=True))

    async def test(
        self, request: ClientRequest, credential: Credential, method: str, provider: str, to: object
    ) -> Response:
        """Send one message with a fixed text by one provider."""
        content = test_content(method, provider)
        fields = {"to": to, "method": method, "content": content, "provider": provider}
        return _locate(await self._send(request, fields, credential, is_v2=True))

    async def send_v1(self, request: ClientRequest, credential: Credential) -> Response:
        """Send a message of v1."""
        return await self._send(request, request.fields, credential, is_v2=False)

    async def _send(
        self, request: ClientRequest, fields: Mapping[str, Any], credential: Credential, *, is_v2: bool
    ) -> ApiResponse:
        async def read(_: str) -> tuple[Draft, Owner]:
            owner = await credential.owner()
            try:
                draft = await self._drafts.read(fields, credential, may_have_nul=request.may_have_nul, is_v2=is_v2)
            except Refusal:  # an invalid token, and in v2 the role, is answered before what is wrong with the fields
                await (credential.authenticate_sender() if is_v2 else credential.authenticate())
                raise
            return draft, owner

        return await self._answer_request(request, fields, credential, read)

    async def resend(self, request: ClientRequest, credential: Credential, wanted: ResendRequest) -> Response:
        """Send again what an earlier request or a dead letter holds."""

        async def read(new: str) -> tuple[Draft, Owner]:
            return await self._resends.read(wanted, credential, new)

        return _locate(await self._answer_request(request, request.fields, credential, read))

    async def _answer_request(
        self, request: ClientRequest, fields: Mapping[str, Any], credential: Credential, read: Read
    ) -> ApiResponse:
        try:
            if (header := request.headers.get("idempotency-key")) is not None:
                return await self._once(request, fields, credential, header, read)
            accepted = await self._accept(credential, read, self._new_id(), None)
        except (ServiceUnavailable, RedisUnavailable, RedisRefused) as error:
            self._problem.report(error)
            raise Refusal("not_accepted", retry_after_s=RETRY_AFTER_S) from error
        self._problem.clear()
        return _answer(accepted.answer, accepted.headers)

    async def _once(
        self, request: ClientRequest, fields: Mapping[str, Any], credential: Credential, header: str, read: Read
    ) -> ApiResponse:
        caller = await credential.authenticate()
        key = read_key(header)
        if credential.is_test:  # a space is in no header's key: no real message is taken for a test sent before
            key = f"test {key}"
        body = await fingerprint(request.path, fields, request.size)
        reservation = await self._replays.claim(caller, key, body, self._new_id())
        if isinstance(reservation, Replayed):
            return _answer(reservation.answer, {"Idempotent-Replayed": "true"})
        try:
            accepted = await self._under(reservation, credential, read)
        except Refusal as refusal:
            await self._write_record(reservation.leave if refusal.reason == "outcome_unknown" else reservation.release)
            raise
        except (ServiceUnavailable, RedisUnavailable, RedisRefused):
            await self._write_record(reservation.release)
            raise
        await self._write_record(lambda: reservation.settle(accepted.answer))
        return _answer(accepted.answer, accepted.headers)

    async def _under(self, reservation: Reservation, credential: Credential, read: Read) -> Accepted:
        if reservation.kept is None:
            return await self._accept(credential, read, reservation.request, reservation)
        await self._publish_kept(reservation.kept)
        return Accepted(reservation.kept.answer, {})

    async def _publish_kept(self, kept: StoredAnswer) -> None:
        """Publish what an earlier try had counted and kept: the same bytes, the same id."""
        job = Job.model_validate_json(kept.job)
        key = SCHEDULE if job.is_scheduled or job.fallback else job_key(job.method, job.lane)
        await self._acceptor.publish(key, kept.job, job.request, is_repeat=True)

    async def _accept(
        self, credential: Credential, read: Read, request: str, reservation: Reservation | None
    ) -> Accepted:
        for _ in range(MAX_ROUNDS):
            try:
                return await self._accept_once(credential, read, request, reservation)
            except DefaultCategoryChanged:
                continue
        raise ServiceUnavailable("the user's default category changed at every try")

    async def _accept_once(
        self, credential: Credential, read: Read, request: str, reservation: Reservation | None
    ) -> Accepted:
        draft, owner = await read(request)
        is_code = kind_of(draft) == "code" and not draft.is_test
        share = f"test:{credential.username}" if draft.is_test else credential.username  # no name has a colon
        turn = nullcontext() if is_code else self._admission.admit(share)
        try:
            async with turn:
                accepted = await self._acceptor.accept(draft, credential, request, owner, reservation)
        except (Refusal, ServiceUnavailable, RedisUnavailable, RedisRefused) as refused:
            is_unknown = isinstance(refused, Refusal) and refused.reason == "outcome_unknown"
            if draft.resend_of is not None and not is_unknown:
                await self._write_record(lambda: self._resends.release(draft, request))
            raise
        if is_code:  # a refused code must not slow down others
            self._admission.record_code()
        return accepted

    async def _write_record(self, step: Callable[[], Awaitable[Any]]) -> None:
        """Run a step whose failure changes no answer: the key's lease expires."""
        with self._record_problem.catch(RedisUnavailable, RedisRefused):
            await step()


def test_content(method: str, provider: str) -> Content:
    """Return the content of a test message, short where a template's variable takes little."""
    spec = BY_NAME.get(method)
    if spec is None or "subject" not in content_fields(spec.content):
        return "测试消息"
    text = f"这是经由 {provider} 发出的测试邮件。\n\nThis is a test mail, sent by way of {provider}.\n"
    return {"subject": f"iMSG 测试邮件 · test mail ({provider})", "text": text}


def _answer(content: Mapping[str, Any], headers: Mapping[str, str]) -> ApiResponse:
    return ApiResponse(ok(**content), ACCEPTED, headers)


def _locate(answer: ApiResponse) -> ApiResponse:
    """Add the URL of the accepted request. v1 has no such header."""
    answer.raw_headers.append((b"location", f"{REQUESTS}/{answer.content['id']}".encode("ascii")))
    return answer
