"""Reports, by whoever may list what they are of."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from imsg_contract.error_responses import BODY
from imsg_history.report_files import MEDIA_TYPES
from imsg_history.report_schemas import NewReport, ReportAnswer, ReportBegun, ReportsAnswer, ReportsQuery
from imsg_history.routes.parts import HistoryParts
from imsg_web.authorization import InternalRoute, User
from imsg_web.responses import Answer, ok
from imsg_web.schemas import describe_refusals

OBSTACLES = ("missing", "wrong_type", "method_unknown", "no_right", "too_many_reports")

FILE = {
    "description": "The file.",
    "content": {
        kind.partition(";")[0]: {"schema": {"type": "object"} if name == "json" else {"type": "string"}}
        for name, kind in MEDIA_TYPES.items()
    },
}

router = APIRouter(prefix="/api/reports", route_class=InternalRoute)


@router.post("", status_code=202, responses=describe_refusals(*BODY, *OBSTACLES))
async def begin_report(user: User, body: NewReport, parts: HistoryParts) -> ReportBegun:
    """Make a report of usage or of messages."""
    return ReportBegun(id=await parts.reports.begin(body, user))


@router.get("", response_model=ReportsAnswer, responses=describe_refusals("wrong_type"))
async def list_reports(user: User, query: Annotated[ReportsQuery, Query()], parts: HistoryParts) -> Answer:
    """List one's own reports, the newest first."""
    page = await parts.reports.find(query, user)
    return Answer(ok(reports=page.rows, next=page.next))


@router.get("/{id}", response_model=ReportAnswer, responses=describe_refusals("not_found"))
async def show_report(user: User, id: str, parts: HistoryParts) -> Answer:  # noqa: A002  its name in the path
    """Show how far a report is."""
    return Answer(ok(**await parts.reports.show(id, user)))


@router.get("/{id}/file", response_class=Response, responses={200: FILE, **describe_refusals("not_found")})
async def get_report_file(
    user: User,
    id: str,  # noqa: A002  its name in the path
    parts: HistoryParts,
    part: Annotated[int, Header(alias="x-imsg-part", include_in_schema=False)] = 0,
) -> Response:
    """Fetch the file of a report.

    The gateway asks for its parts one by one, so that nothing holds all of it.
    """
    found = await parts.reports.read_part(id, part, user)
    headers = {
        "content-disposition": f'attachment; filename="{found.filename}"',
        "x-imsg-parts": str(found.parts),
        "cache-control": "private, no-store",
    }
    return Response(found.body, 200, headers, found.media_type)
