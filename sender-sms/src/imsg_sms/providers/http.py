"""Providers with a plain HTTP API, described in imsg.toml: calls are made from templates with placeholders."""

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from imsg_contract.results import Again, Blocked, Refused, Sent, Unknown
from imsg_sms.countries import MAINLAND
from imsg_sms.http_settings import Http, HttpInbound, HttpPull, HttpReceipts, NumberReplies
from imsg_sms.providers import FetchReports, HookReply, HookRequest, ProviderReply, ReportBatch, numbers
from imsg_sms.providers.context import ProviderContext
from imsg_sms.providers.http_calls import HttpCalls
from imsg_sms.providers.http_filling import encoder, fill, guess_kind, in_header, in_url
from imsg_sms.providers.http_reading import at, is_of_text, is_success, parse, read_entries, read_push
from imsg_sms.providers.meanings import SERVER_ERROR, TOO_MANY_REQUESTS, Meaning, make_failure_reply, make_result
from imsg_sms.templates import Message, TemplateBook, build_text_book
from imsg_web.http_pool import HttpAnswer, HttpPool, NoAnswer, NotSent

KIND = "http"

OK = 200
MAX_DETAIL = 300


def make(name: str, account: Http, context: ProviderContext) -> "HttpProvider":
    """Make the provider of an account."""
    book = build_text_book(name, context.templates, signature=account.signature, suffix=account.suffix)
    return HttpProvider(name, account, context.pool, book)


_RESULTS: Mapping[str, type[Refused | Again | Blocked | Unknown]] = {
    "refused": Refused,
    "again": Again,
    "blocked": Blocked,
    "unknown": Unknown,
}


class HttpProvider:
    """An account at a described provider. It can't be asked for the status of a message."""

    kind = KIND
    mixes_countries = True
    takes_text = True
    unreadable_reply = HookReply("not a report", 400, "text/plain")
    retry_reply = HookReply("not recorded, please repeat", 503, "text/plain")

    def __init__(
        self, name: str, settings: Http, pool: HttpPool, book: TemplateBook, now: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self._book = book
        self.limits = book.limits
        self.countries = settings.countries
        self._settings = settings
        self._pool = pool
        self._now = now
        self.max_numbers = settings.numbers
        self.secret = settings.hook
        self.takes_signature = settings.takes_signature
        self.opted_out = frozenset(
            settings.name_code(code) for code, error in settings.errors.items() if error.opted_out
        )
        pulled: Sequence[tuple[HttpPull | None, HttpReceipts | HttpInbound | None]] = (
            (settings.pull, settings.receipts),
            (settings.inbound.pull if settings.inbound else None, settings.inbound),
        )
        self.pulls: Sequence[FetchReports] = tuple(
            partial(self._pull, pull, reports) for pull, reports in pulled if pull is not None and reports is not None
        )
        first = settings.receipts or settings.inbound
        self.accepted_reply = _make_plain_reply(first.answer if first else "")
        self._calls = HttpCalls(settings, pool, now)
        kind = next((value for name, value in settings.headers.items() if name.lower() == "content-type"), "")
        self._kind = kind or guess_kind(settings.body)

    async def send(self, message: Message, addresses: Sequence[str], reference: str) -> ProviderReply:
        """Make the call of the description for this message; never raises."""
        values = self._values(message, addresses, reference)
        described, charset = self._settings, self._settings.charset
        try:
            body = fill(described.body, values, encoder(self._kind, charset)).encode(charset)
            body = base64.b64encode(body) if described.wrap else body
            values = self._calls.add_body(values, body)
            url = fill(described.url, values, lambda value: in_url(value, charset))
            headers = {name: fill(value, values, in_header) for name, value in described.headers.items()}
        except UnicodeEncodeError as error:
            detail = f"{error.object[error.start : error.end]} can't be written in {charset}."
            return ProviderReply(Refused(self.name, "charset", detail), concerns="content")
        headers |= self._calls.log_in(values)
        if body:
            headers = {"content-type": self._kind, **{name.lower(): value for name, value in headers.items()}}
        try:
            answer = await self._pool.call(described.method, url, headers, body or None)
        except (NotSent, NoAnswer) as error:
            return make_failure_reply(self.name, error)
        return self._classify_response(answer, addresses, values["template"])

    def read(self, push: HookRequest) -> ReportBatch | None:
        """Read a push by the description. Raises NotSigned if it lacks the described signature.

        If the provider has one URL for both, a push without receipts is read as inbound messages.
        """
        receipts, inbound = self._settings.receipts, self._settings.inbound
        batch = None if receipts is None or (push.is_inbound and inbound is not None) else self._read(receipts, push)
        if inbound is not None and (batch is None or not batch.receipts):
            messages = self._read(inbound, push)
            return batch if messages is None else replace(messages, reply=_make_plain_reply(inbound.answer))
        return batch

    def _read(self, described: HttpReceipts | HttpInbound, push: HookRequest) -> ReportBatch | None:
        return read_push(
            self.name,
            described,
            push,
            secrets=self._calls.secrets,
            charset=self._settings.charset,
            countries=self.countries,
            now=self._moment(),
        )

    async def _pull(self, pull: HttpPull, described: HttpReceipts | HttpInbound) -> ReportBatch:
        """Fetch the next reports. Raises NotSent, NoAnswer."""
        answer = await self._calls.ask(pull, pull.url)
        if not answer.is_success:
            raise NoAnswer(f"{answer.status}: {answer.text[:MAX_DETAIL]}")
        entries = (at(answer.body, described.list) if described.list else answer.body) or []
        return read_entries(self.name, described, entries, self.countries, self._moment())

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    def _values(self, message: Message, addresses: Sequence[str], reference: str) -> dict[str, str]:
        """Return the value of each placeholder of a call that sends."""
        template = self._book.find(message)
        join = self._settings.separator.join
        return self._calls.make_values(
            {
                "number": join(addresses),
                "digits": join(number.removeprefix("+") for number in addresses),
                "national": join(number.removeprefix(MAINLAND) for number in addresses),
                "international": join(f"00{number.removeprefix('+')}" for number in addresses),
                "text": f"{template.signature}{template.text}",
                "template": template.id,
                "params": json.dumps(dict(template.params), ensure_ascii=False, separators=(",", ":")),
                "params_list": json.dumps(list(template.params.values()), ensure_ascii=False, separators=(",", ":")),
                "reference": reference,
            }
        )

    def _classify_response(self, response: HttpAnswer, addresses: Sequence[str], template: str) -> ProviderReply:
        settings, charset = self._settings, self._settings.charset
        text = response.text if charset == "utf-8" else response.content.decode(charset, "replace")
        body, detail = parse(text), text[:MAX_DETAIL]
        if settings.each is not None and isinstance(entries := at(body, settings.each.list), list):
            return self._read_each(settings.each, entries, addresses, template)
        code = text.strip() if settings.code == "text" else at(body, settings.code) if settings.code else None
        if code is not None and str(code) in settings.errors:
            return self._classify_code(code, template, detail)
        if (by_status := self._classify_status(response.status_code, detail)) is not None:
            return by_status
        if is_success(settings.success, response.status_code, body, text):
            identity = at(body, settings.id) if settings.id else None
            return ProviderReply(Sent(self.name, None if identity is None else str(identity), detail))
        return self._classify_failure(response.status_code, body, code, template, detail)

    def _classify_failure(self, status: int, body: object, code: object, template: str, detail: str) -> ProviderReply:
        rule = self._settings.success
        if status == OK and body is None and "=" in rule and not is_of_text(rule):
            return ProviderReply(Unknown(self.name, "unreadable", detail), concerns="provider")
        if code is not None and "*" in self._settings.errors:
            return self._classify_code(code, template, detail)
        return ProviderReply(Refused(self.name, f"http_{status}", detail), concerns="content", for_one_number=True)

    def _read_each(
        self, replies_format: NumberReplies, entries: Sequence[Any], addresses: Sequence[str], template: str
    ) -> ProviderReply:
        """Read the reply for each number: from the entry that names it, else from the entry at its position."""
        replies: dict[str, ProviderReply] = {}
        for number, at_position in zip(addresses, entries, strict=False):
            by_number = (entry for entry in entries if self._read_number(entry, replies_format.number) == number)
            entry = next(by_number, at_position)
            code, detail = at(entry, replies_format.code), json.dumps(entry, ensure_ascii=False)[:MAX_DETAIL]
            if str(code) == replies_format.success:
                identity = at(entry, replies_format.id) if replies_format.id else None
                replies[number] = ProviderReply(Sent(self.name, None if identity is None else str(identity), detail))
                continue
            reply = self._classify_code(code, template, detail)
            replies[number] = ProviderReply(reply.result, reply.concerns, is_rate_limit=reply.is_rate_limit)
        return ProviderReply(
            Unknown(self.name, "not_answered", "The provider said nothing of this number."), by_number=replies
        )

    def _read_number(self, entry: object, path: str) -> str | None:
        return numbers.read(str(at(entry, path) or ""), self.countries)

    def _classify_code(self, code: object, template: str, detail: str) -> ProviderReply:
        """Return the reply for a code by the description; a code that it does not list is a refusal."""
        errors, name = self._settings.errors, self._settings.name_code(code)
        error = errors.get(str(code), errors.get("*"))
        if error is None:
            return ProviderReply(Refused(self.name, name, detail), concerns="content")
        if str(code) not in errors:
            detail = f"(an unlisted code) {detail}"
        meaning = Meaning(_RESULTS[error.result], error.concerns, error.after_s, error.for_one_number)
        result = make_result(self.name, meaning, name, detail, now=self._now(), about=template)
        is_rate_limit = error.result == "again" and error.concerns == "provider" and error.after_s > 0
        return ProviderReply(result, error.concerns, for_one_number=error.for_one_number, is_rate_limit=is_rate_limit)

    def _classify_status(self, status: int, detail: str) -> ProviderReply | None:
        """Return the reply for a status of 5xx or 429; None for any other."""
        if status >= SERVER_ERROR:
            return ProviderReply(Unknown(self.name, f"http_{status}", detail), concerns="provider")
        if status == TOO_MANY_REQUESTS:
            return ProviderReply(Again(self.name, f"http_{status}", detail), concerns="provider", is_rate_limit=True)
        return None


def _make_plain_reply(answer: str) -> HookReply:
    return HookReply(answer, media_type="text/plain; charset=utf-8")
