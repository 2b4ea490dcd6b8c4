"""Which iMSG answers at a URL: `imsg up` of this folder, or services that run by themselves, such as containers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from imsg import all_in_one, valkey
from imsg.findings import TIMEOUT_S, Finding
from imsg.location import find_url, has_gateway_url
from imsg_runtime.lines import fill
from imsg_runtime.masking import mask
from imsg_runtime.settings import StartError, load, variable


@dataclass(frozen=True, slots=True)
class Instance:
    """What answers at a URL."""

    finding: Finding
    names: Mapping[str, Any]
    """The `services` of `imsg up`, or the one `service` that answers; empty where no iMSG does."""
    is_imsg: bool = True
    """Whether an iMSG answers, ready or not."""


def find_instance(url: str) -> Instance:
    """Return whether iMSG is ready, and its name."""
    shown = mask(url)
    with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
        try:
            answer = client.get("/health/ready").json()
        except httpx.HTTPError:
            remedy = "Start it with `imsg up` or, as containers, `make up`; or say where with --url."
            return Instance(Finding("iMSG", fill("nothing answers at {0}", shown), remedy), {}, is_imsg=False)
        except ValueError:
            answer = None
    if not isinstance(answer, dict) or "errorCode" not in answer:
        remedy = fill("Choose another {0}, or say with --url where iMSG is.", variable("port"))
        return Instance(Finding("iMSG", fill("something else answers at {0}", shown), remedy), {}, is_imsg=False)
    names = {name: answer[name] for name in ("service", "services") if name in answer}
    if answer.get("errorCode") == 0:
        return Instance(Finding("iMSG", fill("ready at {0}", shown)), names)
    state = fill("not ready at {0}: {1}", shown, answer.get("unmet") or answer.get("detail"))
    return Instance(Finding("iMSG", state, "The other parts say why."), names)


def is_elsewhere(settings: all_in_one.Settings, instance: Instance) -> bool:
    """Return whether the instance has settings and stores of its own, which this machine does not see."""
    if "services" in instance.names or settings.redis_url or valkey.find_running(settings.data_dir) is not None:
        return False
    return bool(instance.names) or has_gateway_url()


def require_here(remedy: str) -> None:
    """Refuse a verb that needs the settings and stores of `imsg up` where services run by themselves.

    Raises StartError, which ends with the remedy.
    """
    if is_elsewhere(load(all_in_one.Settings), instance := find_instance(find_url(None))):
        raise StartError("{0}, and its services have their own settings: {1}", instance.finding.state, remedy)
