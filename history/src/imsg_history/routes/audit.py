"""The routes of the audit."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from imsg_history.audit import EVERYBODY
from imsg_history.queries import AuditQuery
from imsg_history.routes.dependencies import HistoryServices
from imsg_history.schemas import AuditAnswer
from imsg_web.authorization import InternalRoute, Reader
from imsg_web.responses import ApiResponse, ok
from imsg_web.schemas import describe_refusals

NDJSON: dict[int | str, dict[str, Any]] = {200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}
"""The gateway writes lines where the caller accepts them: all that fit, whatever `limit` says."""

router = APIRouter(prefix="/api/audit", route_class=InternalRoute)


@router.get("", response_model=AuditAnswer, responses={**NDJSON, **describe_refusals("wrong_type", "no_right")})
async def list_audit(reader: Reader, query: Annotated[AuditQuery, Query()], services: HistoryServices) -> ApiResponse:
    """List the audit's records, the newest first."""
    page = await services.audit.find(query)
    await services.audit.record_read(reader, "audit_read", EVERYBODY)
    return ApiResponse(ok(audit=page.rows, next=page.next, total=page.total))
