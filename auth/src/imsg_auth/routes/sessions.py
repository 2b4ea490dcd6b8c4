"""How a user gets a token, ends it, and changes the password."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, Request

from imsg_auth.routes.dependencies import AuthServices, ClientAddress
from imsg_auth.routes.users import show_user
from imsg_auth.schemas.sessions import Login, Logout, MeAnswer, OwnKey, PasswordChange, TokenAnswer
from imsg_auth.tokens import IssuedToken
from imsg_contract.error_responses import BODY
from imsg_contract.errors import Refusal
from imsg_web.authorization import InternalRoute, User
from imsg_web.schemas import Success, describe_refusals

TOKEN_HEADER = "x-imsg-token"  # noqa: S105  a header's name

router = APIRouter(prefix="/api", route_class=InternalRoute)


@router.post(
    "/login", responses=describe_refusals(*BODY, "no_such_user", "wrong_password", "too_many_tries", wants_token=False)
)
async def login(body: Login, services: AuthServices, address: ClientAddress) -> TokenAnswer:
    """Get a token."""
    return _show(await services.sessions.log_in(body.username, body.password, address))


@router.post("/logout", responses=describe_refusals(*BODY))
async def logout(user: User, body: Logout, request: Request, services: AuthServices) -> Success:
    """End this token, or all of one's own."""
    with _refuse_missing_user():
        if body.everywhere:
            await services.sessions.log_out_everywhere(user)
        else:
            await services.sessions.log_out(user, request.headers.get(TOKEN_HEADER, ""))
    return Success()


@router.post("/password", responses=describe_refusals(*BODY, "wrong_password", "too_many_tries"))
async def change_password(
    user: User, body: PasswordChange, services: AuthServices, address: ClientAddress
) -> TokenAnswer:
    """Change one's own password; every other token of the user ends."""
    with _refuse_missing_user():
        return _show(await services.sessions.change_password(user, body.old, body.new, address))


@router.get("/me", responses=describe_refusals())
async def show_me(user: User, services: AuthServices) -> MeAnswer:
    """Show who one is, and by which key one calls."""
    with _refuse_missing_user():
        found = await services.users.find(user.username, user.user_id)
    used = await services.keys.find_used(user)
    key = None if used is None else OwnKey.model_validate(used, from_attributes=True)
    return MeAnswer(**(await show_user(services, found)).model_dump(), key=key)


def _show(issued: IssuedToken) -> TokenAnswer:
    return TokenAnswer(token=issued.token, expires_in=issued.expires_in)


@contextmanager
def _refuse_missing_user() -> Iterator[None]:
    """Answer token_invalid where the calling user was removed after the gateway had checked the token."""
    try:
        yield
    except Refusal as refusal:
        if refusal.reason != "no_such_user":
            raise
        raise Refusal("token_invalid") from refusal
