"""The quotas of users and of the whole installation, and the caps of addresses."""

from collections.abc import Sequence

from fastapi import APIRouter, Response

from imsg_auth.routes.dependencies import AuthServices
from imsg_auth.schemas.quotas import CapsAnswer, CapsBody, CapShape, QuotasAnswer, QuotasBody, QuotaShape
from imsg_contract.error_responses import BODY
from imsg_limits.caps import CapRow
from imsg_limits.quota import QuotaRow
from imsg_web.authorization import Administrator, InternalRoute, Reader
from imsg_web.etags import IfMatch, make_etag
from imsg_web.schemas import describe_refusals

REPLACING = ("no_right", *BODY, "if_match_required", "changed")

router = APIRouter(prefix="/api", route_class=InternalRoute)


@router.get("/users/{username}/quotas", responses=describe_refusals("no_right", "no_such_user"))
async def list_user_quotas(_: Reader, username: str, services: AuthServices, response: Response) -> QuotasAnswer:
    """List a user's quotas."""
    return _show((await services.users.find(username)).quotas, response)


@router.put("/users/{username}/quotas", responses=describe_refusals(*REPLACING, "no_such_user"))
async def replace_user_quotas(
    administrator: Administrator,
    username: str,
    body: QuotasBody,
    services: AuthServices,
    response: Response,
    *,
    if_match: IfMatch = None,
) -> QuotasAnswer:
    """Replace a user's quotas, in force for the very next send."""
    return _show(await services.users.replace_quotas(administrator, username, body.list_rows(), if_match), response)


@router.get("/quotas", responses=describe_refusals("no_right"))
async def list_quotas(_: Reader, services: AuthServices, response: Response) -> QuotasAnswer:
    """List the quotas of the whole installation, which all users share."""
    return _show((await services.users.find_installation_limits()).quotas, response)


@router.put("/quotas", responses=describe_refusals(*REPLACING))
async def replace_quotas(
    administrator: Administrator, body: QuotasBody, services: AuthServices, response: Response, if_match: IfMatch = None
) -> QuotasAnswer:
    """Replace the quotas of the whole installation, in force for the very next send."""
    limits = await services.users.replace_installation_limits(administrator, "quotas", body.list_rows(), if_match)
    return _show(limits.quotas, response)


@router.get("/caps", responses=describe_refusals("no_right"))
async def list_caps(_: Reader, services: AuthServices, response: Response) -> CapsAnswer:
    """List the caps: how many messages one address gets."""
    return _show_caps((await services.users.find_installation_limits()).caps, response)


@router.put("/caps", responses=describe_refusals(*REPLACING))
async def replace_caps(
    administrator: Administrator, body: CapsBody, services: AuthServices, response: Response, if_match: IfMatch = None
) -> CapsAnswer:
    """Replace the caps, in force within two seconds."""
    limits = await services.users.replace_installation_limits(administrator, "caps", body.list_rows(), if_match)
    return _show_caps(limits.caps, response)


def _show(quotas: Sequence[QuotaRow], response: Response) -> QuotasAnswer:
    response.headers["ETag"] = make_etag(quotas)
    return QuotasAnswer(quotas=[QuotaShape.model_validate(row._asdict()) for row in quotas])


def _show_caps(caps: Sequence[CapRow], response: Response) -> CapsAnswer:
    response.headers["ETag"] = make_etag(caps)
    return CapsAnswer(caps=[CapShape.model_validate(row._asdict()) for row in caps])
