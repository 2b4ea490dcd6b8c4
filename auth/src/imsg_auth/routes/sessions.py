"""How a user gets a token, ends it, and changes the password."""

from collections.abc import Iterator
from contextlib import contextmanager

import segno
from fastapi import APIRouter, Request

from imsg_auth.routes.dependencies import TOKEN_HEADER, AuthServices, ClientAddress, FreshLogin
from imsg_auth.routes.users import list_test_quotas, show_user
from imsg_auth.schemas.sessions import (
    Login,
    Logout,
    MeAnswer,
    Otp,
    OwnKey,
    PasswordChange,
    RecoveryCodesAnswer,
    TokenAnswer,
    TotpAnswer,
)
from imsg_auth.tokens import IssuedToken
from imsg_contract.error_responses import BODY
from imsg_contract.errors import Refusal
from imsg_web.authorization import Administrator, InternalRoute, User
from imsg_web.schemas import Success, describe_refusals

router = APIRouter(prefix="/api", route_class=InternalRoute)


@router.post(
    "/login",
    responses=describe_refusals(
        *BODY, "no_such_user", "wrong_password", "too_many_tries", "otp_required", "otp_wrong", wants_token=False
    ),
)
async def login(body: Login, services: AuthServices, address: ClientAddress) -> TokenAnswer:
    """Get a token."""
    return _show(await services.sessions.log_in(body.username, body.password, address, body.otp))


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


@router.post("/me/totp", dependencies=[FreshLogin], responses=describe_refusals("log_in_again", "totp_on"))
async def begin_totp(user: User, services: AuthServices) -> TotpAnswer:
    """Get a secret for an authenticator app; it counts once it is confirmed."""
    with _refuse_missing_user():
        new = await services.totp.begin(user)
    return TotpAnswer(secret=new.secret, uri=new.uri, qr=segno.make(new.uri).svg_data_uri(scale=4))


@router.post(
    "/me/totp/confirm",
    dependencies=[FreshLogin],
    responses=describe_refusals(*BODY, "log_in_again", "totp_not_begun", "otp_wrong"),
)
async def confirm_totp(user: User, body: Otp, services: AuthServices) -> RecoveryCodesAnswer:
    """Require one-time passwords from the next log-in on; return recovery codes, shown this once."""
    with _refuse_missing_user():
        return RecoveryCodesAnswer(recovery_codes=await services.totp.confirm(user, body.otp))


@router.delete("/me/totp", dependencies=[FreshLogin], responses=describe_refusals("log_in_again"))
async def remove_own_totp(user: User, services: AuthServices) -> Success:
    """Log in by the password alone again."""
    with _refuse_missing_user():
        await services.totp.remove(user, user.username, user.user_id)
    return Success()


@router.delete(
    "/users/{username}/totp",
    dependencies=[FreshLogin],
    responses=describe_refusals("no_right", "log_in_again", "no_such_user"),
)
async def remove_totp(administrator: Administrator, username: str, services: AuthServices) -> Success:
    """Remove the second step of a user who has lost their phone."""
    target = await services.users.find(username)
    await services.totp.remove(administrator, target.username)
    return Success()


@router.get("/me", responses=describe_refusals())
async def show_me(user: User, services: AuthServices) -> MeAnswer:
    """Show the calling user, and the key of the call."""
    with _refuse_missing_user():
        account = await services.users.find(user.username, user.user_id)
    used = await services.keys.find_used(user)
    key = None if used is None else OwnKey.model_validate(used, from_attributes=True)
    shown = (await show_user(services, account)).model_dump()
    if key is not None and key.kind == "test":
        shown["quotas"] = await list_test_quotas(services, account)
    return MeAnswer(**shown, totp=account.totp_secret is not None, key=key)


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
