"""The windows in which messages are sent, and the corrected holidays."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response

from imsg_auth.routes.dependencies import AuthServices
from imsg_auth.routes.quotas import REPLACING
from imsg_auth.rows.installation_limits import InstallationLimits
from imsg_auth.schemas.windows import HolidaysAnswer, HolidaysBody, WindowsAnswer, WindowsBody, WindowShape
from imsg_limits.windows import Calendar
from imsg_web.authorization import Administrator, InternalRoute, Reader
from imsg_web.etags import IfMatch, make_etag
from imsg_web.schemas import describe_refusals

router = APIRouter(prefix="/api", route_class=InternalRoute)


@router.get("/windows", responses=describe_refusals("no_right"))
async def list_windows(_: Reader, services: AuthServices, response: Response) -> WindowsAnswer:
    """List the windows in which messages are sent; what comes at another time is held."""
    return _show_windows(await services.users.find_installation_limits(), response)


@router.put("/windows", responses=describe_refusals(*REPLACING))
async def replace_windows(
    administrator: Administrator,
    body: WindowsBody,
    services: AuthServices,
    response: Response,
    if_match: IfMatch = None,
) -> WindowsAnswer:
    """Replace the windows, in force within two seconds, for what is held too."""
    rows = [window.model_dump(by_alias=True) for window in body.windows]
    limits = await services.users.replace_installation_limits(administrator, "windows", rows, if_match)
    return _show_windows(limits, response)


@router.get("/holidays", responses=describe_refusals("no_right"))
async def list_holidays(_: Reader, services: AuthServices, response: Response) -> HolidaysAnswer:
    """List the corrections of the calendar of mainland China."""
    return _show_holidays(await services.users.find_installation_limits(), response)


@router.put("/holidays", responses=describe_refusals(*REPLACING))
async def replace_holidays(
    administrator: Administrator,
    body: HolidaysBody,
    services: AuthServices,
    response: Response,
    if_match: IfMatch = None,
) -> HolidaysAnswer:
    """Replace the corrections, in force within two seconds."""
    limits = await services.users.replace_installation_limits(administrator, "holidays", body.holidays, if_match)
    return _show_holidays(limits, response)


def _show_windows(limits: InstallationLimits, response: Response) -> WindowsAnswer:
    response.headers["ETag"] = make_etag(limits.windows)
    windows = [WindowShape.model_validate(window) for window in limits.windows]
    return WindowsAnswer(windows=windows, unknown_years=_find_unknown_years(limits.windows, limits.holidays))


def _show_holidays(limits: InstallationLimits, response: Response) -> HolidaysAnswer:
    response.headers["ETag"] = make_etag(limits.holidays)
    unknown = _find_unknown_years(limits.windows, limits.holidays)
    return HolidaysAnswer.model_validate({"holidays": limits.holidays, "unknown_years": unknown})


def _find_unknown_years(windows: Sequence[Mapping[str, Any]], holidays: Mapping[str, str]) -> list[int]:
    calendar = Calendar.model_validate({"windows": windows, "holidays": holidays})
    return calendar.find_unknown_years(datetime.now(UTC).date())
