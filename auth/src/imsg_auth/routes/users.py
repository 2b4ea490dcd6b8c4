"""What administrators do with users."""

import base64
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from imsg_auth.routes.dependencies import AuthServices, RouteServices, require_fresh_login
from imsg_auth.rows.users import User
from imsg_auth.schemas.quotas import QuotaUsage
from imsg_auth.schemas.users import (
    Modification,
    Registration,
    UserAnswer,
    UserPatch,
    UserRecord,
    UsersAnswer,
    UsersQuery,
)
from imsg_auth.users import LIMITS
from imsg_contract.error_responses import BODY
from imsg_limits.quota import QuotaRow, Window
from imsg_web.authorization import Administrator, InternalRoute, Reader
from imsg_web.schemas import Success, describe_refusals

LAST_ADMINISTRATOR = "last_administrator"

router = APIRouter(prefix="/api", route_class=InternalRoute)


@router.post(
    "/register",
    responses=describe_refusals("no_right", "log_in_again", *BODY, "username_taken", "contact_taken", "sender_away"),
)
async def register(
    administrator: Administrator, body: Registration, request: Request, services: AuthServices
) -> UserAnswer:
    """Add a user; one who may do more than a user needs a log-in of the last hour."""
    if body.role not in (None, "user"):
        await require_fresh_login(request)
    await services.senders.require_known(body.senders or ())
    return await show_user(services, await services.users.register(administrator, body))


@router.post("/modify/{username}", responses=describe_refusals("no_right", *BODY, "no_such_user"))
async def modify(administrator: Administrator, username: str, body: Modification, services: AuthServices) -> Success:
    """Set a user's limits, in force for the very next send."""
    await services.users.modify(administrator, username, body)
    return Success()


@router.get("/users", responses=describe_refusals("no_right", "wrong_type"))
async def list_users(_: Reader, query: Annotated[UsersQuery, Query()], services: AuthServices) -> UsersAnswer:
    """List the users."""
    page, has_more = await services.users.list_page(query.cursor, query.search, query.limit)
    quotas_of_all = (await services.users.find_installation_limits()).quotas
    records = [await _read_record(services, user, quotas_of_all) for user in page]
    cursor = base64.urlsafe_b64encode(page[-1].username.encode()).decode() if has_more else None
    total = await services.users.count(query.search) if query.total else None
    return UsersAnswer(users=records, next=cursor, total=total)


@router.get("/users/{username}", responses=describe_refusals("no_right", "no_such_user"))
async def get_user(_: Reader, username: str, services: AuthServices) -> UserAnswer:
    """Show one user."""
    return await show_user(services, await services.users.find(username))


@router.patch(
    "/users/{username}",
    responses=describe_refusals(
        "no_right", "log_in_again", *BODY, "no_such_user", "contact_taken", "sender_away", LAST_ADMINISTRATOR
    ),
)
async def change_user(
    administrator: Administrator, username: str, body: UserPatch, request: Request, services: AuthServices
) -> UserAnswer:
    """Change a user; another role or password needs a log-in of the last hour."""
    if body.role is not None or body.password is not None:
        await require_fresh_login(request)
    if body.senders:
        stored = _read_senders(await services.users.find(username)) or ()
        await services.senders.require_known(set(body.senders) - set(stored))
    return await show_user(services, await services.users.change(administrator, username, body))


@router.delete("/users/{username}", responses=describe_refusals("no_right", "no_such_user", LAST_ADMINISTRATOR))
async def remove_user(administrator: Administrator, username: str, services: AuthServices) -> Success:
    """Remove a user; the messages stay."""
    await services.users.remove(administrator, username)
    return Success()


async def show_user(services: RouteServices, user: User) -> UserAnswer:
    """Show a user with what is used of the quotas."""
    record = await _read_record(services, user, (await services.users.find_installation_limits()).quotas)
    return UserAnswer(**record.model_dump())


async def list_test_quotas(services: RouteServices, user: User) -> list[QuotaUsage]:
    """List the quotas that hold for a user's test keys."""
    used = await services.quota.read_used_by_tests(user.username, user.id)
    return [QuotaUsage.model_validate(_show_usage(window)) for window in used.windows]


async def _read_record(services: RouteServices, user: User, quotas_of_all: tuple[QuotaRow, ...]) -> UserRecord:
    used = await services.quota.read_used(user.username, user.id, user.quotas, quotas_of_all)
    shared = UserRecord.model_fields.keys() & User.__dataclass_fields__.keys() - {"quotas"}
    fields = {name: getattr(user, name) for name in shared}
    return UserRecord.model_validate(
        {
            **fields,
            **{name: getattr(user, name) for name in LIMITS},
            "quotas": [_show_usage(window) for window in used.windows],
            "senders": _read_senders(user),
            "used_hour": used.hour,
            "left_hour": None if user.per_hour is None else max(0, user.per_hour - used.hour),
            "used_day": used.day,
            "left_day": None if user.per_day is None else max(0, user.per_day - used.day),
            "used_recipients": used.recipients,
        }
    )


def _read_senders(user: User) -> list[str] | None:
    """Return the senders that a user may name; None: all."""
    return None if user.senders is None else [name for name in user.senders.split(",") if name]


def _show_usage(window: Window) -> dict[str, object]:
    return {
        **window.row._asdict(),
        "scope": window.scope,
        "used": window.used,
        "left": window.left,
        "opens_at": datetime.fromtimestamp(window.opens_at, UTC),
    }
