"""Which iMSG answers: `imsg up` of this folder, or services that run by themselves, such as containers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from imsg import all_in_one, valkey
from imsg.findings import TIMEOUT_S, Finding
from imsg.location import find_url, has_gateway_url
from imsg_runtime.masking import mask
from imsg_runtime.settings import StartError, load, variable


@dataclass(frozen=True, slots=True)
class Running:
    """What answers at a URL."""

    finding: Finding
    names: Mapping[str, Any]
    """The `services` of `imsg up`, or the one `service` that answers; empty where nothing of iMSG's does."""


def ask(url: str) -> Running:
    """Ask whether iMSG is ready, and which it is."""
    shown = mask(url)
    with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
        try:
            answer = client.get("/health/ready").json()
        except httpx.HTTPError:
            remedy = "Start it with `make run`, as containers with `make up`, or say where with --url."
            return Running(Finding("iMSG", f"nothing answers at {shown}", remedy), {})
        except ValueError:
            answer = None
    if not isinstance(answer, dict) or "errorCode" not in answer:
        remedy = f"Choose another {variable('port')}, or say with --url where iMSG is."
        return Running(Finding("iMSG", f"something else answers at {shown}", remedy), {})
    names = {name: answer[name] for name in ("service", "services") if name in answer}
    if answer.get("errorCode") == 0:
        return Running(Finding("iMSG", f"ready at {shown}"), names)
    state = f"not ready at {shown}: {answer.get('unmet') or answer.get('detail')}"
    return Running(Finding("iMSG", state, "The parts below say why."), names)


def is_elsewhere(asked: all_in_one.Settings, running: Running) -> bool:
    """Tell whether what runs has its own settings and stores, of which nothing is known here."""
    if "services" in running.names or asked.redis_url or valkey.find_running(asked.data_dir) is not None:
        return False
    return bool(running.names) or has_gateway_url()


def require_here(remedy: str) -> None:
    """Refuse what goes by the settings and stores of `imsg up` where services run by themselves.

    Raises StartError, with the remedy.
    """
    if is_elsewhere(load(all_in_one.Settings), running := ask(find_url(None))):
        raise StartError(f"{running.finding.state}, and its services have their own settings: {remedy}")
