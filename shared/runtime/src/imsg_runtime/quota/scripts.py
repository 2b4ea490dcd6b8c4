"""The Lua steps of counting: each reads and counts at once, by the server's clock."""

from imsg_runtime.redis import Script

SERVER_TIME = "tonumber(redis.call('TIME')[1])"
"""The clock, as a Lua expression in Unix seconds: the server's own, so that gateways needn't agree on one."""

# Windows of now. Fields of the counts: h START:OFFSET (an hour by its first second and its offset, so that the hour
# that comes twice when daylight saving ends is two windows), d DAY and r DAY (requests and recipients of a local day).
_WINDOWS = """
local now = {clock}
local function windows(first)
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

# How much of a kind there was within ten seconds, in one field: the second of the last, then how many of each second,
# the newest first. The present second and the nine before it.
_BURSTS = """
local function burst(text, more_when_crowded)
  local seen, kept, total = {{}}, {{math.floor(now)}}, 0
  for number in string.gmatch(text or '', '%d+') do seen[#seen + 1] = tonumber(number) end
  local gone = seen[1] and math.max(0, kept[1] - seen[1]) or {seconds}
  for at = 1, {seconds} do
    kept[at + 1] = at > gone and seen[at + 1 - gone] or 0
    total = total + kept[at + 1]
  end
  local crowded = total >= {most}
  if not crowded or more_when_crowded then kept[2] = math.min(kept[2] + 1, 999) end
  return crowded, table.concat(kept, ' ')
end
"""

CHARGE = (
    _WINDOWS
    + _BURSTS
    + """
local user = redis.call('HMGET', KEYS[1], 'epoch', 'role', 'available', 'per_hour', 'per_day', 'recipients_per_day',
                        'revoked:' .. ARGV[2], 'id', 'may_send_codes')
local id = user[8] or ''
if not user[1] then return {{'no_mirror'}} end
if user[1] ~= ARGV[1] or id ~= ARGV[4] and id ~= '' then return {{'stale', user[1], id}} end
if user[7] then return {{'revoked'}} end
if user[3] ~= '1' then return {{'disabled', user[2]}} end
local kind = ARGV[5]
if kind == 'c' and user[9] == '0' then return {{'no_codes', user[2]}} end
local w, recipients = windows(6), tonumber(ARGV[3])
local counts = redis.call('HMGET', KEYS[2], w.h, w.d, w.r, 'id', kind ~= '' and kind or 'id')
local owner = counts[4]
if owner and id ~= '' and owner ~= id then
  redis.call('DEL', KEYS[2])
  counts = {{}}
end
local hour, day, people = tonumber(counts[1] or 0), tonumber(counts[2] or 0), tonumber(counts[3] or 0)
local word, crowded = 'exhausted', false
if hour < tonumber(user[4]) and day < tonumber(user[5])
    and (user[6] == '' or people + recipients <= tonumber(user[6])) then
  word = 'charged'
  hour, day, people = hour + 1, day + 1, people + recipients
  local fields = {{w.h, hour, w.d, day, w.r, people}}
  if kind ~= '' then
    local counted
    crowded, counted = burst(counts[5], kind == 's')
    fields[7], fields[8] = kind, counted
  end
  if id ~= '' and owner ~= id then
    fields[#fields + 1] = 'id'
    fields[#fields + 1] = id
  end
  redis.call('HSET', KEYS[2], unpack(fields))
  if hour == 1 or day == 1 then
    for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
      local start = tonumber(string.match(field, '^h(%-?%d+)'))
      local date = tonumber(string.match(field, '^[dr](%-?%d+)'))
      if start and start < w.hour - 86400 or date and date < w.day - 1 then redis.call('HDEL', KEYS[2], field) end
    end
    redis.call('EXPIRE', KEYS[2], w.day_opens - now + 86400)
  end
end
return {{word, user[2], now, tonumber(user[4]), hour, w.hour_opens, tonumber(user[5]), day, w.day_opens,
        user[6], people, w.h, w.d, w.r, id, crowded and 1 or 0}}
"""
)
"""ARGV: epoch, nonce, recipients, id, kind of burst (s: single messages, all counted; c: codes, those that were not too
many; or none), offsets.

In a mirror of an auth of before nothing says who may send codes: whoever existed then may.
"""

USED = (
    _WINDOWS
    + """
local w = windows(2)
local counts = redis.call('HMGET', KEYS[1], w.h, w.d, w.r, 'id')
if counts[4] and ARGV[1] ~= '' and counts[4] ~= ARGV[1] then counts = {{}} end
return {{tonumber(counts[1] or 0), tonumber(counts[2] or 0), tonumber(counts[3] or 0), w.hour_opens, w.day_opens}}
"""
)

GIVE_BACK = Script.of("""
local owner = redis.call('HGET', KEYS[1], 'id')
if owner and ARGV[1] ~= '' and owner ~= ARGV[1] then return end
for at = 2, #ARGV, 2 do
  local left = tonumber(redis.call('HGET', KEYS[1], ARGV[at]) or 0)
  if left > 0 then redis.call('HINCRBY', KEYS[1], ARGV[at], -math.min(left, tonumber(ARGV[at + 1]))) end
end
""")

TALLY = Script.of("""
local amount = tonumber(ARGV[1])
local count = tonumber(redis.call('GET', KEYS[1]) or 0)
if amount > 0 then
  count = redis.call('INCRBY', KEYS[1], amount)
  if count == amount then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
end
return {count, math.max(redis.call('PTTL', KEYS[1]), 0)}
""")
