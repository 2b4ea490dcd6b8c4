"""Short keys are refused where other machines reach iMSG."""

from pydantic import SecretStr

from imsg_runtime.settings import Common, PeerKeys, StartError, variable

MIN_KEY_BYTES = 32
"""The shortest key: the output length of HMAC-SHA256 (RFC 2104, section 3)."""


def require_strong(settings: Common, *path: str, keys: tuple[SecretStr, ...]) -> None:
    """Refuse short keys where other machines reach iMSG; `path` names their setting: ("peer_keys", "gateway").

    Raises StartError with the setting and a command that makes a key.
    """
    shortest = min((len(key.get_secret_value().encode()) for key in keys), default=MIN_KEY_BYTES)
    if shortest >= MIN_KEY_BYTES or not settings.is_exposed:
        return
    raise StartError(
        "{0} has a key of {1} bytes; where others than this machine reach iMSG, a key has at "
        "least {2}: give it what `openssl rand -hex 32` makes.",
        variable(*path),
        shortest,
        MIN_KEY_BYTES,
    )


def require_strong_callers(settings: Common, peer_keys: dict[str, tuple[SecretStr, ...]]) -> None:
    """Refuse short keys of callers. Raises like require_strong."""
    for service, keys in peer_keys.items():
        require_strong(settings, "peer_keys", service.replace("-", "_"), keys=keys)


def require_caller_keys(settings: Common, peer_keys: PeerKeys, service: str) -> None:
    """Require a key for the callers of `service`, and refuse short ones as `require_strong` does. Raises StartError."""
    callers = peer_keys.by_service()
    if not (settings.service_key or callers):
        raise StartError(
            "{0} is not set; give {1} the same one that the gateway has.", variable("service_key"), service
        )
    require_strong(settings, "service_key", keys=settings.service_key)
    require_strong(settings, "erasure_key", keys=settings.erasure_key)
    require_strong_callers(settings, callers)
