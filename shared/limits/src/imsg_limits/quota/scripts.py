"""The Lua scripts of quotas: each reads and counts in one atomic step, by the server's clock."""

from imsg_runtime.redis import Script

SERVER_TIME = "(function() local at = redis.call('TIME') return at[1] + at[2] / 1000000 end)()"
"""The server's clock as a Lua expression in Unix seconds: gateways' clocks may differ."""

# The current windows, where the caller does not pass them (docs/performance.md).
# Fields of the counts: h START:OFFSET (an hour by its first second and its offset, so that the hour
# that comes twice when daylight saving ends is two windows), d DAY and r DAY (requests and recipients of a local day).
_WINDOWS = """
local now
local function windows(first)
  now = {clock}
  local last, at = #ARGV, first
  while at + 2 <= last and tonumber(ARGV[at + 2]) <= now do at = at + 2 end
  local offset = tonumber(ARGV[at + 1])
  local hour = math.floor((now + offset) / 3600) * 3600 - offset
  local hour_opens = hour + 3600
  if at + 2 <= last then hour_opens = math.min(hour_opens, tonumber(ARGV[at + 2])) end
  local day = math.floor((now + offset) / 86400)
  local begins, day_opens = now, nil
  while not day_opens do
    local ends = at + 2 <= last and tonumber(ARGV[at + 2]) or math.huge
    local midnight = (day + 1) * 86400 - tonumber(ARGV[at + 1])
    if midnight < ends then day_opens = math.max(midnight, begins) end
    begins, at = ends, at + 2
  end
  return {{
    hour = hour, day = day, hour_opens = hour_opens, day_opens = day_opens,
    h = string.format('h%d:%d', hour, offset), d = string.format('d%d', day), r = string.format('r%d', day),
  }}
end
"""

# How many requests of a kind there were within ten seconds, in one field: the second of the last, then the number of
# each second, the newest first, then `t` and their sum: the present second and the nine before it. Gateways' clocks
# differ by some milliseconds: a gateway that is a second behind counts in the newest second of the field, or each
# change between two gateways would push a second out.
_BURST = """
    local second = math.floor(now)
    local last, newest, older, sum = string.match(burst or '', '^(%d+) (%d+)(.*) t(%d+)$')
    if last and last - second == 1 then second = second + 1 end
    if tonumber(last) == second and tonumber(newest) < 999 then
      crowded = tonumber(sum) >= {most}
      if not crowded or kind == 's' then burst = last .. ' ' .. newest + 1 .. older .. ' t' .. sum + 1 end
    else
      local seen, kept, total = {{}}, {{}}, 0
      for number in string.gmatch(burst or '', '%d+') do seen[#seen + 1] = tonumber(number) end
      local gone = seen[1] and math.max(0, second - seen[1]) or {seconds}
      for at = 1, {seconds} do
        kept[at] = at > gone and seen[at + 1 - gone] or 0
        total = total + kept[at]
      end
      crowded = total >= {most}
      if not crowded or kind == 's' then
        total = total + math.min(kept[1] + 1, 999) - kept[1]
        kept[1] = math.min(kept[1] + 1, 999)
      end
      burst = second .. ' ' .. table.concat(kept, ' ') .. ' t' .. total
    end
"""

_CHECK_USER = """
local user = redis.call('HMGET', KEYS[1], 'epoch', 'role', 'available', 'per_hour', 'per_day', 'recipients_per_day',
                        ARGV[2], 'id', 'may_send_codes', 'events', 'senders')
local id = user[8]
if not user[1] then return {{'no_mirror'}} end
local known = user[1]
if string.sub(ARGV[2], 1, 4) == 'key:' then
  known = user[7]
  if not known then return {{'revoked'}} end
elseif user[7] then return {{'revoked'}} end
if known ~= ARGV[1] or id ~= ARGV[4] then return {{'stale', user[1], id}} end
if user[3] ~= '1' then return {{'disabled', user[2]}} end
local kind = ARGV[5]
if kind == 'c' and user[9] ~= '1' then return {{'no_codes', user[2]}} end
"""

_COUNT = (
    """
local counts = redis.call('HMGET', KEYS[2], h, d, r, 'id', kind ~= '' and kind or 'id')
local owner = counts[4]
if owner and owner ~= id then
  redis.call('DEL', KEYS[2])
  counts = {{}}
end
local hour, day, people = tonumber(counts[1] or 0), tonumber(counts[2] or 0), tonumber(counts[3] or 0)
local word, crowded, recipients = 'exhausted', false, tonumber(ARGV[3])
if hour < tonumber(user[4]) and day < tonumber(user[5])
    and (user[6] == '' or people + recipients <= tonumber(user[6])) then
  word = 'charged'
  hour, day, people = hour + 1, day + 1, people + recipients
  if kind ~= '' then
    local burst = counts[5]"""
    + _BURST
    + """
    redis.call('HSET', KEYS[2], h, hour, d, day, r, people, kind, burst)
  else
    redis.call('HSET', KEYS[2], h, hour, d, day, r, people)
  end
  if owner ~= id then redis.call('HSET', KEYS[2], 'id', id) end
  if hour == 1 or day == 1 then
    local this_hour, today = tonumber(string.match(h, '^h(%-?%d+)')), tonumber(string.sub(d, 2))
    for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
      local start = tonumber(string.match(field, '^h(%-?%d+)'))
      local date = tonumber(string.match(field, '^[dr](%-?%d+)'))
      if start and start < this_hour - 86400 or date and date < today - 1 then redis.call('HDEL', KEYS[2], field) end
    end
    redis.call('EXPIRE', KEYS[2], math.floor(day_opens - now + 86400))
  end
end
local result = {{word, user[2], tonumber(user[4]), hour, tonumber(user[5]), day, user[6], people, id,
                 crowded and 1 or 0, tonumber(user[10] or 0), user[11]}}
"""
)

CHARGE = (
    _CHECK_USER
    + """
local now, day_opens, h, d, r = tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9], ARGV[10]
"""
    + _COUNT
    + """
return result
"""
)
"""ARGV: epoch, `revoked:NONCE`, recipients, id, kind of burst (s: single messages, all counted; c: codes, counted up
to the limit; or none), then the time as the caller knows it: now, the end of the day's window, the fields of the
windows.

For an API key the first two are the key as the caller knows it, and `key:DIGEST`.
Nearly all charges use this script.
"""

CHARGE_AND_RETURN_TIME = (
    _WINDOWS
    + _CHECK_USER
    + """
local w = windows(6)
local day_opens, h, d, r = w.day_opens, w.h, w.d, w.r
"""
    + _COUNT
    + """
return {{result, {{string.format('%.6f', now), w.hour_opens, day_opens, h, d, r}}}}
"""
)
"""The same where the caller does not know the time: ARGV ends with UTC offsets, and the time is returned too."""

USED = (
    _WINDOWS
    + """
local w = windows(2)
local counts = redis.call('HMGET', KEYS[1], w.h, w.d, w.r, 'id')
if counts[4] and counts[4] ~= ARGV[1] then counts = {{}} end
return {{tonumber(counts[1] or 0), tonumber(counts[2] or 0), tonumber(counts[3] or 0), w.hour_opens, w.day_opens}}
"""
)

REFUND = Script.of("""
local owner = redis.call('HGET', KEYS[1], 'id')
if owner ~= ARGV[1] then return end
for at = 2, #ARGV, 2 do
  local left = tonumber(redis.call('HGET', KEYS[1], ARGV[at]) or 0)
  if left > 0 then redis.call('HINCRBY', KEYS[1], ARGV[at], -math.min(left, tonumber(ARGV[at + 1]))) end
end
""")

COUNT = Script.of("""
local amount = tonumber(ARGV[1])
local count = tonumber(redis.call('GET', KEYS[1]) or 0)
if amount > 0 then
  count = redis.call('INCRBY', KEYS[1], amount)
  if count == amount then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
end
return {count, math.max(redis.call('PTTL', KEYS[1]), 0)}
""")
