"""The windows part of `imsg doctor`: whether the holidays are known that a window needs."""

from datetime import date

from imsg import all_in_one, valkey
from imsg.findings import Finding
from imsg_limits.windows import PublishedWindows
from imsg_runtime import redis
from imsg_runtime.lines import fill
from imsg_runtime.redis import RedisRefused, RedisUnavailable


async def examine(settings: all_in_one.Settings, today: date) -> list[Finding]:
    """Return a finding on the years whose holidays are unknown; nothing while no window needs any."""
    url = settings.redis_url or valkey.find_running(settings.data_dir)
    if url is None:
        return []
    try:
        async with redis.connect(url) as cache:
            calendar = await PublishedWindows(cache).fetch()
    except (RedisUnavailable, RedisRefused):  # a finding of Redis' own
        return []
    if not (years := calendar.find_unknown_years(today)):
        return []
    state = fill("the holidays of {0} are not known; its days go by their weekday alone", ", ".join(map(str, years)))
    remedy = fill("Set them once they are announced: `imsg holidays set {0}-01-01 holiday`, and the others.", years[0])
    return [Finding("holidays", state, remedy)]
