"""Log-in and log-out: the page is plain HTML without a script."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from imsg_console.client import ApiError, Gateway, Visitor
from imsg_console.origin import Origins
from imsg_console.paths import LOGIN, LOGOUT, PREFER, STATIC, back
from imsg_console.preferences import (
    GUIDE_COOKIE,
    HTML_LANGUAGES,
    LANGUAGE_COOKIE,
    THEME_COOKIE,
    Language,
    Preferences,
    current,
)
from imsg_console.security import COOKIE
from imsg_console.session import Session, Sessions
from imsg_console.texts import Texts

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the log-in page, where no script can read a password."""

FORM_BYTES = 16 * 1024
"""More than a name of 64 and a password of 256 characters take, percent-encoded."""

YEAR_S = 365 * 24 * 3600

DOCUMENTED = ("admin", "123")
"""The administrator of the interface document (section 2), who exists where only this machine reaches us."""

HIDDEN = frozenset({"no_such_user", "wrong_password"})
"""Reasons for which the page has one sentence: a stranger must not learn which names exist."""


WHY = frozenset({"idle", "expired", "ended", "elsewhere", "changed", "restarted", "first_log_in", "left",
                 "left_everywhere", "foreign"})  # fmt: skip
"""Why the page is shown, as its URL may name it: keys of sentences."""


@dataclass(frozen=True, slots=True)
class LoginPage:
    """The log-in page and its routes."""

    gateway: Gateway
    sessions: Sessions
    origins: Origins
    is_exposed: bool
    """Whether other machines reach us: then the documented password does not work."""

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        small = Middleware(RequestBodyLimitMiddleware, max_body_size=FORM_BYTES)
        return (
            Route(LOGIN, self.show, methods=["GET"]),
            Route(LOGIN, self.log_in, methods=["POST"], middleware=[small]),
            Route(LOGOUT, self.log_out, methods=["POST"]),
            Route(PREFER, self.prefer, methods=["GET"]),
        )

    async def show(self, request: Request) -> Response:
        """Show the form; a visitor with a session is led on."""
        if request.state.session is not None:
            return RedirectResponse(back(request.query_params.get("next", "/")), 303)
        t = Texts(current.get().language)
        why = request.query_params.get("why", "")
        if why not in WHY:
            return self._form(request)
        return self._form(request, notice=t(f"login.{why}", minutes=round(self.sessions.idle_s / 60)))

    async def log_in(self, request: Request) -> Response:
        """Log in: always with a new session, so that a cookie that was planted before is worthless."""
        t = Texts(current.get().language)
        form = await request.form(max_files=0, max_fields=8)
        username, password = str(form.get("username", "")), str(form.get("password", ""))
        otp = str(form.get("otp", "")).strip()
        if not username or not password:
            return self._form(request, error=t("login.missing"), username=username)
        try:
            session, secret = await self._open_session(request, username, password, otp)
        except ApiError as error:
            sentence = t("login.no_such_user") if error.reason in HIDDEN else error.detail or t("layout.unreachable")
            return self._form(request, error=sentence, username=username)
        session.warned = not self.is_exposed and (username, password) == DOCUMENTED
        answer = RedirectResponse(back(request.query_params.get("next", "/")), 303)
        name, is_tls = self.origins.cookie(request.scope, COOKIE), self.origins.is_tls(request.scope)
        answer.set_cookie(name, secret, path="/", httponly=True, samesite="lax", secure=is_tls)
        return answer

    async def _open_session(self, request: Request, username: str, password: str, otp: str) -> tuple[Session, str]:
        visitor, language = Visitor(request.scope), current.get().accept_language
        body = {"username": username, "password": password} | ({"otp": otp} if otp else {})
        made = await self.gateway.call("POST", "/api/v2/login", body, accept_language=language, visitor=visitor)
        token = made["token"]
        me = await self.gateway.call("GET", "/api/v2/me", token=token, accept_language=language, visitor=visitor)
        if request.state.session is not None:
            self.sessions.end(request.state.session, "ended")
        session, secret = self.sessions.open(
            me["username"],
            role=me["role"],
            token=token,
            visitor=visitor,
            expires_in_s=made["expires_in"],
        )
        await self.gateway.call(
            "POST", "/api/v2/sessions", session.describe(request.headers), token=token, visitor=visitor
        )
        return session, secret

    async def log_out(self, request: Request) -> Response:
        """Log out: revoke the session's token, or all of the user's. The session ends whatever the API answers."""
        session: Session | None = request.state.session
        everywhere = request.query_params.get("everywhere") == "1"
        why = "left_everywhere" if everywhere else "left"
        if session is not None:
            try:
                await self.gateway.call("POST", "/api/v2/logout", {"everywhere": everywhere}, token=session.token)
            except ApiError:
                why = "left"
            self.sessions.end(session, why)
            if everywhere:
                self.sessions.end_all_of(session.username, "elsewhere")
        answer = RedirectResponse(f"{LOGIN}?why={why}", 303)
        name, is_tls = self.origins.cookie(request.scope, COOKIE), self.origins.is_tls(request.scope)
        answer.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=is_tls)
        return answer

    async def prefer(self, request: Request) -> Response:
        """Store a language, a theme or a hidden guide in a cookie, and redirect back."""
        answer = RedirectResponse(back(request.query_params.get("next", "/")), 303)
        if request.query_params.get("next", "").startswith(LOGIN):
            answer.headers["location"] = LOGIN
        is_tls = self.origins.is_tls(request.scope)
        for name, cookie, known in (
            ("language", LANGUAGE_COOKIE, ("zh", "en")),
            ("theme", THEME_COOKIE, ("auto", "light", "dark")),
            ("guide", GUIDE_COOKIE, ("hidden",)),
        ):
            value = request.query_params.get(name, "")
            if value in known:
                answer.set_cookie(cookie, value, max_age=YEAR_S, path="/", httponly=True, samesite="lax", secure=is_tls)
        return answer

    def _form(self, request: Request, *, error: str = "", notice: str = "", username: str = "") -> Response:
        preferences = current.get()
        t = Texts(preferences.language)
        if not (error or notice or self.is_exposed):
            notice = t("login.first")
        page = _page(preferences, t, action=_action(request), error=error, notice=notice, username=username)
        status = 401 if error else 200
        return HTMLResponse(page, status, headers={"Content-Security-Policy": POLICY})


def _action(request: Request) -> str:
    going = back(request.query_params.get("next", "/"))
    return LOGIN if going == "/" else f"{LOGIN}?{urlencode({'next': going})}"


def _page(preferences: Preferences, t: Texts, *, action: str, error: str, notice: str, username: str) -> str:
    """Return the page. Text from outside passes `html.escape`."""
    e = html.escape
    other: Language = "en" if preferences.language == "zh" else "zh"
    described = ' aria-describedby="said"' if error or notice else ""
    message = ""
    if error:
        message = f'<p id="said" class="notice notice-bad" role="alert">{e(error)}</p>'
    elif notice:
        message = f'<p id="said" class="notice" role="status">{e(notice)}</p>'
    switch = f"{PREFER}?{urlencode({'language': other, 'next': LOGIN})}"
    first, then = ("", " autofocus") if username else (" autofocus", "")
    return f"""<!doctype html>
<html lang="{HTML_LANGUAGES[preferences.language]}" data-theme="{preferences.theme}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{e(t("login.title"))} · iMSG</title>
<link rel="icon" href="{STATIC}icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{STATIC}theme.css">
<link rel="stylesheet" href="{STATIC}login.css">
</head>
<body class="login">
<header class="login-top">
<a class="login-switch" href="{e(switch)}" lang="{HTML_LANGUAGES[other]}"
 aria-label="{e(t("layout.language_label"))}">{e(t("layout.language"))}</a>
</header>
<main class="login-card">
<img class="login-mark" src="{STATIC}icon.svg" alt="" width="48" height="48">
<h1>{e(t("login.welcome"))}</h1>
<p class="login-tagline">{e(t("layout.tagline"))}</p>
{message}
<form method="post" action="{e(action)}"{described}>
<label for="username">{e(t("login.username"))}</label>
<input id="username" name="username" autocomplete="username" autocapitalize="none" spellcheck="false" required
 maxlength="64" value="{e(username)}"{first}>
<label for="password">{e(t("login.password"))}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256"{then}>
<label for="otp">{e(t("login.otp"))}</label>
<input id="otp" name="otp" autocomplete="one-time-code" inputmode="text" maxlength="32"
 placeholder="{e(t("login.otp_hint"))}">
<button type="submit">{e(t("login.submit"))}</button>
</form>
</main>
<footer class="login-foot"><a href="/docs">{e(t("login.docs"))}</a></footer>
</body>
</html>
"""
