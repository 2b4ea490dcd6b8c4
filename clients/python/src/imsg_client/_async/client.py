"""The client: the operations of /api/v2 that need no administrator."""

import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from types import TracebackType
from typing import Any, Literal, Self, Unpack
from urllib.parse import quote

import httpx

from imsg_client._async.waiting import Lock, sleep
from imsg_client.callbacks import Event
from imsg_client.calls import (
    MEMBERS_AT_ONCE,
    RECIPIENTS_AT_ONCE,
    TRANSPORT_ERRORS,
    Answer,
    Body,
    Call,
    CallbackChange,
    ClientResponse,
    Content,
    Filters,
    GroupChange,
    InGroups,
    KeyChange,
    NewMember,
    Options,
    Query,
    Recipients,
    ReportFilters,
    TemplateFields,
    explain_refusal,
    explain_transport_error,
    filter_query,
    format_time,
    is_success,
    key_body,
    new_key,
    read,
    read_body,
    read_page,
    send_body,
    write_member,
)
from imsg_client.contents import Attachment, mail
from imsg_client.errors import NotSettled, OutcomeUnknown, Refused, Unauthenticated
from imsg_client.models import (
    Accepted,
    Callback,
    CallbackDelivery,
    CallbackTried,
    Cancelled,
    Channel,
    Check,
    Group,
    Key,
    Member,
    MembersAdded,
    MembersRemoved,
    Message,
    NewCallback,
    NewKey,
    NewTotp,
    Page,
    PageSession,
    Released,
    Reply,
    Report,
    Request,
    RowProblem,
    Stats,
    Suppression,
    Template,
    TemplatePreview,
    TemplateVersion,
    User,
)
from imsg_client.retries import wait_before_repeat

VERSION = version("imsg-client")

PREFIX = "/api/v2"

TIMEOUT_S = 30.0
"""How long one try waits for its answer."""

PATIENCE_S = 60.0
"""How long a call is repeated while the server is unreachable or answers that a part of it is unavailable."""

RENEW_BEFORE_S = 60.0
"""How long before its end a token is replaced."""

SETTLE_TIMEOUT_S = 120.0
MAX_WAIT_S = 30
"""The longest wait at the server of one call of `wait_until_settled`."""

PAUSE_S = 1.0
"""The pause between two such calls: a server at which many wait answers at once."""

TOKEN_ENDED = 10005
"""The `errorCode` of an invalid or expired token."""


class AsyncClient:
    """A client of one iMSG server. Use it as a context manager, or close it; share it, since it keeps connections.

    Every method raises ImsgError: Refused if the server refuses, ConnectionFailed if it is unreachable.
    Calls are repeated if the server has certainly not processed them; GET and calls with an Idempotency-Key (sends and
    resends always have one) also after a lost response.
    """

    def __init__(
        self,
        base_url: str,
        username: str | None = None,
        password: str | None = None,
        *,
        key: str | None = None,
        token: str | None = None,
        language: Literal["zh", "en"] = "zh",
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Call with an API `key`, which programs have, with username and password, or with a `token` until it ends.

        With username and password, tokens are fetched and renewed.
        `language` is that of `Refused.detail`. `transport`: httpx' own, for proxies or tests.
        """
        token = key or token
        if token is None and (username is None or password is None):
            raise ValueError("give a key, or username and password, or a token")
        self._http = httpx.AsyncClient(
            base_url=base_url.rstrip("/") + PREFIX,
            timeout=timeout_s,
            transport=transport,
            headers={"User-Agent": f"imsg-client/{VERSION}", "Accept-Language": language},
        )
        self._username = username
        self._password = password
        self._patience_s = patience_s
        self._token = token
        self._renew_at = float("inf")
        """When the token is replaced, by the monotonic clock."""
        self._lock = Lock()

    async def __aenter__(self) -> Self:
        """Return the client; connections are opened by calls."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; the token stays valid until it expires or `logout`."""
        await self._http.aclose()

    # Sending

    async def send(
        self,
        method: str,
        to: Recipients,
        content: Content | None = None,
        *,
        attachments: Sequence[Attachment] = (),
        idempotency_key: str | None = None,
        **more: Unpack[Options],
    ) -> Accepted:
        """Send one content to one recipient or up to 10,000: addresses, or usernames whose contacts are used.

        `content` as the interface has it: see `contents.mail` and `contents.template`, or a str for SMS and WeChat;
        None beside a `template` of yours.
        `idempotency_key`: one of yours where your own program may
        send the same again after a crash; else one is made for this call.
        Raises LimitReached, Refused, OutcomeUnknown (repeat with its `idempotency_key`), ConnectionFailed.
        """
        body = send_body(method, to, content, attachments, more)
        return await self._post("/messages", body, Accepted, idempotency_key or new_key())

    async def send_to_groups(
        self,
        method: str,
        groups: Sequence[str],
        content: Content | None = None,
        *,
        attachments: Sequence[Attachment] = (),
        idempotency_key: str | None = None,
        **more: Unpack[Options],
    ) -> AsyncIterator[Accepted]:
        """Send to the members of groups who have an address of the method, and yield each accepted request.

        Groups of more than 10,000 together become several requests of one `reference`, which is made where you give
        none; all are checked before the first is sent. The rest as in `send`.
        """
        key = idempotency_key or new_key()
        sizes = [(await self.group(name)).members for name in groups]
        if sum(sizes) <= RECIPIENTS_AT_ONCE:
            to = InGroups(tuple(groups))
            yield await self.send(method, to, content, attachments=attachments, idempotency_key=key, **more)
            return
        more["reference"] = more.get("reference") or f"groups-{key}"
        takes = await self._template_params(more)
        found: dict[str, str | Mapping[str, Any]] = {}
        for name in groups:
            async for member in self.members(name):
                if (address := member.contacts.get(method) or member.to) is not None:
                    found.setdefault(address, write_member(address, member, takes))
        people = list(found.values())
        parts = [people[first : first + RECIPIENTS_AT_ONCE] for first in range(0, len(people), RECIPIENTS_AT_ONCE)]
        for some in parts:
            await self.check(method, some, content, attachments=attachments, **more)
        for number, some in enumerate(parts):
            part = f"{key}-{number}"
            yield await self.send(method, some, content, attachments=attachments, idempotency_key=part, **more)

    async def _template_params(self, more: Options) -> Sequence[str] | None:
        """Return the names of what the template of a send takes; None without a template."""
        if (name := more.get("template")) is None:
            return None
        version = more.get("template_version") or (await self.template(name)).published
        return [param.name for param in (await self.template(name, version)).params]

    async def send_mail(
        self,
        to: Recipients,
        subject: str,
        text: str = "",
        html: str | None = None,
        *,
        attachments: Sequence[Attachment] = (),
        idempotency_key: str | None = None,
        **more: Unpack[Options],
    ) -> Accepted:
        """Send a mail; the text may be empty beside `html` or an attachment. The rest as in `send`."""
        return await self.send(
            "smtp",
            to,
            mail(subject, text, html),
            attachments=attachments,
            idempotency_key=idempotency_key,
            **more,
        )

    async def send_sms(
        self,
        to: Recipients,
        content: Content,
        *,
        idempotency_key: str | None = None,
        **more: Unpack[Options],
    ) -> Accepted:
        """Send an SMS: a text, or a `contents.template`; the rest as in `send`."""
        return await self.send("sms", to, content, idempotency_key=idempotency_key, **more)

    async def send_wechat(
        self,
        to: Recipients,
        content: Content,
        *,
        idempotency_key: str | None = None,
        **more: Unpack[Options],
    ) -> Accepted:
        """Send to followers by their tags: a text, or a `contents.template`; the rest as in `send`."""
        return await self.send("wechat", to, content, idempotency_key=idempotency_key, **more)

    async def check(
        self,
        method: str,
        to: Recipients,
        content: Content | None = None,
        *,
        attachments: Sequence[Attachment] = (),
        **more: Unpack[Options],
    ) -> Check:
        """Check a send: the number of messages, the recipients it can't reach and why, the remaining limits."""
        body = send_body(method, to, content, attachments, more)
        return await self._post("/messages/check", body, Check)

    async def resend(
        self,
        id: str,  # noqa: A002  the interface's own word
        *,
        uncertain: bool = False,
        again: bool = False,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """Send anew what failed or expired of a request or of one message; with `uncertain` also what is in doubt.

        What was resent already is left out, unless `again`. Raises Conflict where nothing is left.
        """
        body = {"id": id, "uncertain": uncertain, "again": again}
        return await self._post("/resend", body, Accepted, idempotency_key or new_key())

    # Requests, messages and replies

    async def request(self, id: str, *, wait_s: int = 0) -> Request:  # noqa: A002
        """Return a request with the number of its messages by status; waits up to `wait_s` (60) until it is settled."""
        query = {"wait": wait_s} if wait_s else {}
        call = Call("GET", f"/requests/{id}", query=query, is_repeatable=True, timeout_s=wait_s + TIMEOUT_S)
        return read(Request, await self._call(call))

    async def move_request(self, id: str, send_at: datetime) -> None:  # noqa: A002
        """Change the time of a scheduled request; `send_at` has a time zone.

        Raises Conflict where it is due already, or was never scheduled; ValueError for a time without a zone.
        """
        await self._call(Call("PATCH", f"/requests/{id}", body={"send_at": format_time(send_at)}))

    async def cancel_request(self, id: str) -> Cancelled:  # noqa: A002
        """Cancel what has not been sent yet of a request."""
        call = Call("POST", f"/requests/{id}/cancel", body={}, is_repeatable=True)
        return read(Cancelled, await self._call(call))

    async def release_request(self, id: str) -> None:  # noqa: A002
        """Send a scheduled or held request now; for operators. Raises Conflict where it is due already."""
        await self._call(Call("POST", f"/requests/{id}/release", body={}))

    async def release_requests(self, *, held_by: str) -> int:
        """Send all that a window holds now; for operators. Return how many requests."""
        answer = await self._call(Call("POST", "/requests/release", body={"held_by": held_by}))
        return read(Released, answer).released

    async def cancel_requests(
        self, *, reference: str | None = None, held_by: str | None = None, username: str | None = None
    ) -> Cancelled:
        """Cancel what has not been sent yet of all your requests of a reference, or that a window holds.

        Operators name another user, and cancel everybody's that a window holds.
        """
        named = {"reference": reference, "held_by": held_by, "username": username}
        body = {name: value for name, value in named.items() if value is not None}
        # Of tens of thousands each is settled before the answer.
        call = Call("POST", "/requests/cancel", body=body, is_repeatable=True, timeout_s=90)
        return read(Cancelled, await self._call(call))

    async def cancel_message(self, id: str) -> Cancelled:  # noqa: A002
        """Cancel one message."""
        call = Call("POST", f"/messages/{id}/cancel", body={}, is_repeatable=True)
        return read(Cancelled, await self._call(call))

    async def message(self, id: str) -> Message | None:  # noqa: A002
        """Show one message (`REQUEST-N`) with its timeline; None where there is none (yet)."""
        page = await self._page("/messages", "messages", {"id": id}, Message)
        return page.items[0] if page.items else None

    async def messages(
        self,
        *,
        id: str | None = None,  # noqa: A002
        page_size: int = 200,
        **filters: Unpack[Filters],
    ) -> AsyncIterator[Message]:
        """List messages, newest first, page after page, as far as you iterate; of one request by its `id`."""
        parameters = {"id": id, "limit": page_size, **filter_query(filters)}
        cursor: str | None = ""
        while cursor is not None:
            page = await self._page("/messages", "messages", {**parameters, "cursor": cursor or None}, Message)
            for item in page.items:
                yield item
            cursor = page.next

    async def requests(
        self,
        *,
        page_size: int = 50,
        **filters: Unpack[Filters],
    ) -> AsyncIterator[Request]:
        """List requests, newest first, page after page, as far as you iterate; filters as for `messages`."""
        parameters = {"limit": page_size, **filter_query(filters)}
        cursor: str | None = ""
        while cursor is not None:
            page = await self._page("/requests", "requests", {**parameters, "cursor": cursor or None}, Request)
            for item in page.items:
                yield item
            cursor = page.next

    async def replies(
        self,
        *,
        id: str | None = None,  # noqa: A002
        sender: str | None = None,
        method: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 50,
    ) -> AsyncIterator[Reply]:
        """List what people wrote back, newest first, as far as you iterate.

        Of one request or message by its `id`, of one person by the address that you wrote to.
        """
        fields = {"id": id, "from": sender, "method": method, "since": format_time(since), "until": format_time(until)}
        cursor: str | None = ""
        while cursor is not None:
            query = {**fields, "limit": page_size, "cursor": cursor or None}
            page = await self._page("/replies", "replies", query, Reply)
            for item in page.items:
                yield item
            cursor = page.next

    async def suppressions(
        self,
        *,
        method: str | None = None,
        reason: str | None = None,
        to: str | None = None,
        page_size: int = 50,
    ) -> AsyncIterator[Suppression]:
        """List the suppressions that failed your messages, newest first; as an administrator all there are."""
        cursor: str | None = ""
        while cursor is not None:
            query = {"method": method, "reason": reason, "to": to, "limit": page_size, "cursor": cursor or None}
            page = await self._page("/suppressions", "suppressions", query, Suppression)
            for item in page.items:
                yield item
            cursor = page.next

    async def wait_until_settled(self, id: str, timeout_s: float = SETTLE_TIMEOUT_S) -> Request:  # noqa: A002
        """Wait until every message of a request has settled; return the count of each status.

        Raises NotSettled; the request goes on all the same. A provider that is away may hold it for a day.
        """
        id = id.partition("-")[0]  # noqa: A001
        until = time.monotonic() + timeout_s
        left_s = timeout_s
        request: Request | None = None
        while True:
            try:
                request = await self.request(id, wait_s=max(0, min(MAX_WAIT_S, int(left_s))))
            except Refused as refused:
                # History records a request a moment after its acceptance.
                if refused.status != httpx.codes.NOT_FOUND:
                    raise
            if request is not None and request.is_settled:
                return request
            left_s = until - time.monotonic()
            if left_s <= 0:
                how = "not known yet" if request is None else f"{request.counts.open} of its messages are open"
                raise NotSettled(f"{id} has not settled in {timeout_s:g} s: {how}")
            await sleep(min(PAUSE_S, left_s))

    # The server and the user

    async def me(self) -> User:
        """Show the user, and what is left of the limits."""
        return await self._get("/me", {}, User)

    async def channels(self) -> tuple[Channel, ...]:
        """Show how each channel is."""
        return (await self._page("/channels", "channels", {}, Channel)).items

    async def templates(self, page_size: int = 50) -> AsyncIterator[Template]:
        """List the templates that you may send by: those of the settings, then yours and shared ones."""
        cursor: str | None = ""
        while cursor is not None:
            page = await self._page("/templates", "templates", {"limit": page_size, "cursor": cursor or None}, Template)
            for item in page.items:
                yield item
            cursor = page.next

    async def template(self, name: str, version: int | None = None) -> Template:
        """Show a template in its last version, or in another."""
        return await self._get(f"/templates/{name}", {"version": version}, Template)

    async def template_versions(self, name: str, page_size: int = 50) -> AsyncIterator[TemplateVersion]:
        """List the versions of a template, the newest first."""
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": page_size, "cursor": cursor or None}
            page = await self._page(f"/templates/{name}/versions", "versions", query, TemplateVersion)
            for item in page.items:
                yield item
            cursor = page.next

    async def add_template(self, name: str, **fields: Unpack[TemplateFields]) -> Template:
        """Add a template as a draft; `publish_template` makes it usable by sends."""
        return read(Template, await self._call(Call("POST", "/templates", body={"name": name, **fields})))

    async def change_template(self, name: str, **changes: Unpack[TemplateFields]) -> Template:
        """Change the draft of a template; sends use what is published until the next publish."""
        return read(Template, await self._call(Call("PATCH", f"/templates/{name}", body=changes, is_repeatable=True)))

    async def publish_template(self, name: str, version: int | None = None) -> Template:
        """Publish the last version of a template for sends, or an earlier one again."""
        body: dict[str, Any] = {} if version is None else {"version": version}
        return await self._post(f"/templates/{name}/publish", body, Template)

    async def delete_template(self, name: str) -> None:
        """Delete a template; its versions can still be read."""
        await self._call(Call("DELETE", f"/templates/{name}"))

    async def preview_template(
        self,
        name: str,
        method: str,
        params: Mapping[str, str] | None = None,
        *,
        language: str | None = None,
        version: int | None = None,
    ) -> TemplatePreview:
        """Show what a send by a template would send, byte for byte."""
        fields = {"method": method, "params": params and dict(params), "language": language, "version": version}
        body = {field: value for field, value in fields.items() if value is not None}
        return await self._post(f"/templates/{name}/preview", body, TemplatePreview)

    async def stats(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        bucket: Literal["hour", "day"] = "day",
    ) -> Stats:
        """Count messages by hour or day."""
        query = {"since": format_time(since), "until": format_time(until), "bucket": bucket}
        return await self._get("/stats", query, Stats)

    async def change_password(self, old: str, new: str) -> None:
        """Change the user's password; every other token ends. The client continues with the new one."""
        await self._call(Call("POST", "/password", body={"old": old, "new": new}))
        if self._password is not None:
            self._password = new

    async def page_sessions(self) -> tuple[PageSession, ...]:
        """List the user's sessions of the web page."""
        return (await self._page("/sessions", "sessions", {}, PageSession)).items

    async def open_page_session(self, digest: str, *, agent: str = "") -> str:
        """Store the session of this client's token; a client with the secret of the SHA-256 `digest` may resume it."""
        answer = await self._call(Call("POST", "/sessions", body={"digest": digest, "agent": agent}))
        return str(answer["id"])

    async def resume_page_session(self, secret: str) -> str:
        """Return the token of a session of the web page by its secret."""
        call = Call("POST", "/sessions/resume", body={"secret": secret}, is_repeatable=True)
        return str((await self._call_with_retries(call, None)).body["token"])

    async def end_page_session(self, id: str) -> None:  # noqa: A002
        """End a session of the web page, with its token."""
        await self._call(Call("DELETE", f"/sessions/{id}"))

    async def begin_totp(self) -> NewTotp:
        """Get a secret for an authenticator app; it counts once it is confirmed."""
        return read(NewTotp, await self._call(Call("POST", "/me/totp")))

    async def confirm_totp(self, otp: str) -> tuple[str, ...]:
        """Require one-time passwords from the next log-in on; return the recovery codes, which are shown this once."""
        answer = await self._call(Call("POST", "/me/totp/confirm", body={"otp": otp}))
        return tuple(answer["recovery_codes"])

    async def remove_totp(self) -> None:
        """Log in by the password alone again."""
        await self._call(Call("DELETE", "/me/totp"))

    async def logout(self, *, everywhere: bool = False) -> None:
        """End the token; with `everywhere` all tokens of the user."""
        if self._token is None and not everywhere:
            return
        await self._call(Call("POST", "/logout", body={"everywhere": everywhere}, is_repeatable=True))
        self._token = None

    # Events and callbacks

    async def events(self, after: str | None = None, *, wait_s: int = 30) -> AsyncIterator[Event]:
        """Read what happens to your messages, the oldest first, for ever: waiting for what comes.

        `after` is the `cursor` of the last event that you have carried out; None begins with the oldest that is kept.
        An event may come twice where you go on from an older cursor: carry out each `id` once.
        Raises CursorExpired where some of what came after the cursor is gone, and what every method raises.
        """
        while True:
            query = {"after": after, "wait": wait_s}
            call = Call("GET", "/events", query=query, is_repeatable=True, timeout_s=wait_s + TIMEOUT_S)
            page = read_page(Event, await self._call(call), "events")
            for place, item in enumerate(page.items, start=1):
                # An answer can be resumed at its end alone. Before that, at its beginning.
                yield item.model_copy(update={"cursor": page.next if place == len(page.items) else after})
            after = page.next

    async def callbacks(self) -> tuple[Callback, ...]:
        """List your callbacks, and how each is."""
        return (await self._page("/callbacks", "callbacks", {}, Callback)).items

    async def callback(self, id: str) -> Callback:  # noqa: A002
        """Return one callback; administrators may read any."""
        return await self._get(f"/callbacks/{id}", {}, Callback)

    async def add_callback(
        self,
        url: str,
        events: Sequence[str],
        *,
        methods: Sequence[str] | None = None,
        description: str | None = None,
    ) -> NewCallback:
        """Add a callback; its secret is returned only here. Verify received calls by `callbacks.verify`."""
        fields = {"url": url, "events": list(events), "methods": methods and list(methods), "description": description}
        body = {name: value for name, value in fields.items() if value is not None}
        return read(NewCallback, await self._call(Call("POST", "/callbacks", body=body)))

    async def change_callback(self, id: str, **changes: Unpack[CallbackChange]) -> Callback:  # noqa: A002
        """Change what is given of a callback; `enabled=True` opens one that was disabled."""
        return read(Callback, await self._call(Call("PATCH", f"/callbacks/{id}", body=changes, is_repeatable=True)))

    async def remove_callback(self, id: str) -> None:  # noqa: A002
        """Remove a callback, and what waits for it."""
        await self._call(Call("DELETE", f"/callbacks/{id}"))

    async def test_callback(self, id: str) -> CallbackTried:  # noqa: A002
        """Call the URL now and return its response."""
        return read(CallbackTried, await self._call(Call("POST", f"/callbacks/{id}/test", body={})))

    async def rotate_callback(self, id: str) -> str:  # noqa: A002
        """Replace the secret of a callback and return the new one; for 24 hours both sign."""
        answer = await self._call(Call("POST", f"/callbacks/{id}/rotate", body={}))
        return str(answer["secret"])

    async def recover_callback(self, id: str, since: datetime, until: datetime | None = None) -> None:  # noqa: A002
        """Send again the events that did not reach the URL, of up to 14 days."""
        body = {"since": format_time(since), **({"until": format_time(until)} if until else {})}
        await self._call(Call("POST", f"/callbacks/{id}/recover", body=body, is_repeatable=True))

    async def deliveries(
        self,
        id: str,  # noqa: A002
        *,
        state: Literal["waiting", "delivered", "failed"] | None = None,
        page_size: int = 50,
    ) -> AsyncIterator[CallbackDelivery]:
        """List what was sent to a callback and what it answered, newest first, as far as you iterate."""
        parameters = {"state": state, "limit": page_size}
        cursor: str | None = ""
        while cursor is not None:
            query = {**parameters, "cursor": cursor or None}
            page = await self._page(f"/callbacks/{id}/deliveries", "deliveries", query, CallbackDelivery)
            for item in page.items:
                yield item
            cursor = page.next

    async def resend_delivery(self, id: str, event: str) -> None:  # noqa: A002
        """Send one event to a callback once more."""
        await self._call(Call("POST", f"/callbacks/{id}/deliveries/{event}/resend", body={}, is_repeatable=True))

    # API keys

    async def keys(self, *, username: str | None = None, page_size: int = 50) -> AsyncIterator[Key]:
        """List your API keys, the oldest first, as far as you iterate; an administrator's list has those of all.

        `username`: whose keys, for administrators.
        """
        cursor: str | None = ""
        while cursor is not None:
            page = await self._page(
                "/keys", "keys", {"username": username, "limit": page_size, "cursor": cursor or None}, Key
            )
            for item in page.items:
                yield item
            cursor = page.next

    async def add_key(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        networks: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        username: str | None = None,
    ) -> NewKey:
        """Make an API key for the program `name`; the key is returned only here. Log in for it: no key makes keys.

        `username`: whose key it is, for administrators.
        """
        fields = {
            "name": name,
            "kind": "live",
            "scopes": list(scopes),
            "networks": networks and list(networks),
            "expires_at": format_time(expires_at),
            "username": username,
        }
        body = {name: value for name, value in fields.items() if value is not None}
        return read(NewKey, await self._call(Call("POST", "/keys", body=body)))

    async def change_key(self, id: str, **changes: Unpack[KeyChange]) -> Key:  # noqa: A002
        """Change what is given of a key, in force for the very next call; None takes networks or the end away."""
        return read(Key, await self._call(Call("PATCH", f"/keys/{id}", body=key_body(changes), is_repeatable=True)))

    async def rotate_key(self, id: str, *, old_valid_s: int) -> NewKey:  # noqa: A002
        """Make another key like this one; the old one ends after `old_valid_s` seconds, 0: at once."""
        return read(NewKey, await self._call(Call("POST", f"/keys/{id}/rotate", body={"old_valid_s": old_valid_s})))

    async def end_key(self, id: str) -> None:  # noqa: A002
        """End a key at once."""
        await self._call(Call("DELETE", f"/keys/{id}"))

    async def report_leak(self, key: str) -> None:
        """Revoke a key that was found in public, of any user. The answer doesn't say whether it was valid."""
        call = Call("POST", "/keys/leaked", body={"key": key}, is_repeatable=True, expects="nothing")
        await self._call_with_retries(call, None)

    # Groups

    async def groups(self, *, page_size: int = 50) -> AsyncIterator[Group]:
        """List your groups and the shared ones, in the order of their names."""
        cursor: str | None = ""
        while cursor is not None:
            page = await self._page("/groups", "groups", {"limit": page_size, "cursor": cursor or None}, Group)
            for item in page.items:
                yield item
            cursor = page.next

    async def group(self, name: str) -> Group:
        """Return a group."""
        name = quote(name, safe="")
        return await self._get(f"/groups/{name}", {}, Group)

    async def add_group(self, name: str, *, shared: bool = False, note: str = "") -> Group:
        """Create a group; names are unique on the server."""
        body = {"name": name, "shared": shared, "note": note}
        return read(Group, await self._call(Call("POST", "/groups", body=body)))

    async def change_group(self, group: str, **changes: Unpack[GroupChange]) -> Group:
        """Change what is given of a group."""
        group = quote(group, safe="")
        return read(Group, await self._call(Call("PATCH", f"/groups/{group}", body=changes, is_repeatable=True)))

    async def remove_group(self, name: str) -> None:
        """Delete a group with its members."""
        name = quote(name, safe="")
        await self._call(Call("DELETE", f"/groups/{name}"))

    async def members(self, name: str, *, find: str | None = None, page_size: int = 500) -> AsyncIterator[Member]:
        """List the members of a group; `find`: those with this in an address or a field."""
        name = quote(name, safe="")
        cursor: str | None = ""
        while cursor is not None:
            query = {"find": find, "limit": page_size, "cursor": cursor or None}
            page = await self._page(f"/groups/{name}/members", "members", query, Member)
            for item in page.items:
                yield item
            cursor = page.next

    async def add_members(self, name: str, members: Sequence[NewMember]) -> MembersAdded:
        """Add members, any number; one who has the same address is replaced. Wrong rows are returned, and left out."""
        name, added, changed = quote(name, safe=""), 0, 0
        problems: list[RowProblem] = []
        for first in range(0, len(members), MEMBERS_AT_ONCE):
            body = {"members": list(members[first : first + MEMBERS_AT_ONCE])}
            answer = await self._post(f"/groups/{name}/members", body, MembersAdded)
            added, changed = added + answer.added, changed + answer.changed
            problems += [RowProblem(row=problem.row + first, detail=problem.detail) for problem in answer.problems]
        return MembersAdded(added=added, changed=changed, problems=tuple(problems))

    async def remove_members(self, name: str, to: Sequence[str]) -> MembersRemoved:
        """Remove up to 10,000 members by any address of theirs."""
        name = quote(name, safe="")
        return await self._post(f"/groups/{name}/members/remove", {"to": list(to)}, MembersRemoved)

    # Reports

    async def begin_report(
        self,
        kind: Literal["usage", "messages"],
        since: datetime,
        until: datetime,
        *,
        by: Sequence[str] = (),
        format: Literal["json", "csv", "xlsx"] = "json",  # noqa: A002
        **filters: Unpack[ReportFilters],
    ) -> str:
        """Begin a report and return its id: counts of whole days `by` user, method …, or a row for each message.

        `report` says how far it is; once its state is `done`, `report_file` fetches it.
        """
        fields = {"kind": kind, "by": list(by), "format": format, "filters": filters}
        body = {**fields, "since": format_time(since), "until": format_time(until)}
        return str((await self._call(Call("POST", "/reports", body=body)))["id"])

    async def reports(self, *, page_size: int = 50) -> AsyncIterator[Report]:
        """List your reports, newest first, as far as you iterate."""
        cursor: str | None = ""
        while cursor is not None:
            page = await self._page("/reports", "reports", {"limit": page_size, "cursor": cursor or None}, Report)
            for item in page.items:
                yield item
            cursor = page.next

    async def report(self, id: str) -> Report:  # noqa: A002
        """Show how far a report is."""
        return await self._get(f"/reports/{id}", {}, Report)

    async def report_file(self, id: str) -> bytes:  # noqa: A002
        """Fetch the file of a report that is done."""
        call = Call("GET", f"/reports/{id}/file", is_repeatable=True, expects="file")
        return (await self._call_with_token(call)).content

    # Calls and tokens

    async def _get(self, path: str, query: Query, kind: type[Answer]) -> Answer:
        return read(kind, await self._call(Call("GET", path, query=query, is_repeatable=True)))

    async def _post(self, path: str, body: Body, kind: type[Answer], key: str | None = None) -> Answer:
        try:
            answer = await self._call(Call("POST", path, body=body, key=key, is_repeatable=True))
        except OutcomeUnknown as unknown:
            unknown.idempotency_key = key
            raise
        return read(kind, answer)

    async def _page(self, path: str, field: str, query: Query, kind: type[Answer]) -> Page[Answer]:
        answer = await self._call(Call("GET", path, query=query, is_repeatable=True))
        return read_page(kind, answer, field)

    async def _call(self, call: Call) -> dict[str, Any]:
        return (await self._call_with_token(call)).body

    async def _call_with_token(self, call: Call) -> ClientResponse:
        """Call with a token; get another once where the server says that it has ended. Raises ImsgError."""
        token = await self._get_token()
        try:
            return await self._call_with_retries(call, token)
        except Unauthenticated as refused:
            if self._password is None or refused.code != TOKEN_ENDED:
                raise
        return await self._call_with_retries(call, await self._get_token(instead_of=token))

    async def _get_token(self, instead_of: str | None = None) -> str:
        """Return a valid token other than `instead_of`, logging in if necessary. Raises ImsgError."""
        async with self._lock:
            is_good = self._token != instead_of and time.monotonic() < self._renew_at
            if self._token is not None and (is_good or self._password is None):
                return self._token
            body = {"username": self._username, "password": self._password}
            answer = (await self._call_with_retries(Call("POST", "/login", body=body, is_repeatable=True), None)).body
            self._token = str(answer["token"])
            lasts_s = float(answer.get("expires_in") or 0)
            self._renew_at = time.monotonic() + max(lasts_s - RENEW_BEFORE_S, lasts_s / 2)
            return self._token

    async def _call_with_retries(self, call: Call, token: str | None) -> ClientResponse:
        """Repeat a call until it succeeds, is refused for good, or `patience_s` is over. Raises ImsgError."""
        until = time.monotonic() + self._patience_s
        tries = 0
        while True:
            try:
                answer = await self._http.request(
                    call.method,
                    call.path,
                    params=call.params,
                    json=call.body,
                    headers=call.headers(token),
                    timeout=call.timeout_s or self._http.timeout,
                )
                body = read_body(answer)
            except TRANSPORT_ERRORS as error:
                failure, raised = explain_transport_error(call, self._http.base_url, error)
            else:
                if is_success(call, answer, body):
                    return ClientResponse(body, answer.content)
                failure, raised = explain_refusal(answer, body)
            left_s = until - time.monotonic()
            chance = random.random()  # noqa: S311  jitter
            wait_s = wait_before_repeat(
                failure, is_repeatable=call.is_repeatable, tries=tries, left_s=left_s, chance=chance
            )
            if wait_s is None:
                raise raised
            await sleep(wait_s)
            tries += 1
