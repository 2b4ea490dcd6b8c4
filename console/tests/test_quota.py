"""The quotas of a user, as the page draws them."""

from imsg_console.quota import read_quotas


def test_what_is_not_limited_is_not_drawn() -> None:
    """An administrator may take any of a user's quotas away."""
    me = {
        "used_hour": 3,
        "per_hour": None,
        "used_day": 3,
        "per_day": 20,
        "used_recipients": 4,
        "recipients_per_day": None,
    }
    (quota,) = read_quotas(me, "Asia/Shanghai")
    assert (quota.name, quota.left) == ("day", 17)
