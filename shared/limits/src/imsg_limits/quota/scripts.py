"""The Lua scripts of quotas: each reads and counts in one atomic step, by the server's clock."""

from imsg_limits.caps import FIND_CAP
from imsg_runtime.redis import Script

# The current windows, where the caller does not pass them (docs/performance.md).
# A count's field is its unit and method, then its window: m START (a minute by its first second), h START:OFFSET (an
# hour by its first second and its offset, so that the hour that comes twice when daylight saving ends is two windows),
# d DAY (a local day by its number), M MONTH (a local month by its number).
_WINDOWS = """
local now
local windows, opens = {{}}, {{}}
local function find_windows(first)
  now = {clock}
  local last, at = #ARGV, first
  while at + 2 <= last and tonumber(ARGV[at + 2]) <= now do at = at + 2 end
  local offset = tonumber(ARGV[at + 1])
  local function midnight(day)
    local place, begins = at, now
    while true do
      local ends = place + 2 <= last and tonumber(ARGV[place + 2]) or math.huge
      local found = day * 86400 - tonumber(ARGV[place + 1])
      if found < ends then return math.max(found, begins) end
      begins, place = ends, place + 2
    end
  end
  local hour = math.floor((now + offset) / 3600) * 3600 - offset
  local day = math.floor((now + offset) / 86400)
  -- The month of a day: days_from_civil and its inverse of howardhinnant.github.io/date_algorithms.html.
  local days = day + 719468
  local era = math.floor(days / 146097)
  local of_era = days - era * 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
    - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local march = math.floor((5 * of_year + 2) / 153)
  local next_month = day + math.floor((153 * (march + 1) + 2) / 5) - of_year
  if march == 11 then
    local ends = year + 1
    local is_leap = ends % 4 == 0 and (ends % 100 ~= 0 or ends % 400 == 0)
    next_month = day + (is_leap and 366 or 365) - of_year
  end
  local minute = math.floor((now + offset) / 60) * 60 - offset
  windows = {{
    m = string.format('m%d', minute), h = string.format('h%d:%d', hour, offset), d = string.format('d%d', day),
    M = string.format('M%d', (era * 400 + year) * 12 + march),
  }}
  opens = {{m = minute + 60, h = hour + 3600, d = midnight(day + 1), M = midnight(next_month)}}
  if at + 2 <= last then opens.h = math.min(opens.h, tonumber(ARGV[at + 2])) end
end
local function list_windows()
  return {{string.format('%.6f', now), windows.m, windows.h, windows.d, windows.M,
           opens.m, opens.h, opens.d, opens.M}}
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

_READ = """
local function read(key, rows, extra)
  local fields, costs, limits, names = {{'id', extra}}, {{}}, {{}}, {{}}
  for unit, per, of, limit, name in string.gmatch(rows, '(%a)(%a)(%S*) (%d*) (%S+)\\n') do
    names[#names + 1] = name
    fields[#fields + 1] = unit .. of .. ' ' .. windows[per]
    costs[#costs + 1] = (of == '' or of == method) and spent[unit] or 0
    limits[#limits + 1] = tonumber(limit) or math.huge
  end
  return fields, costs, limits, redis.call('HMGET', key, unpack(fields)), names
end
"""

_CHECK_USER = """
local user = redis.call('HMGET', KEYS[1], 'epoch', 'available', 'quotas', ARGV[2], 'id', 'may_send_codes',
                        'events', 'senders', 'sms_countries', 'default_category', 'department')
local rows_of_all = redis.call('GET', KEYS[3])
local id = user[5]
if not user[1] or not rows_of_all then return {{'not_cached'}} end
local known = user[1]
if string.sub(ARGV[2], 1, 4) == 'key:' then
  known = user[4]
  if not known then return {{'revoked'}} end
elseif user[4] then return {{'revoked'}} end
if known ~= ARGV[1] or id ~= ARGV[4] then return {{'stale', user[1], id}} end
if user[2] ~= '1' then return {{'disabled'}} end
local kind, requests = ARGV[5], 1
if kind == 'l' then kind, requests = '', 0 end
if kind == 'c' and user[6] ~= '1' then return {{'no_codes'}} end
if ARGV[12] ~= '' and ARGV[12] ~= user[10] then return {{'category', user[10]}} end
for country in string.gmatch(ARGV[11], '[^,]+') do
  if user[9] ~= '*' and not string.find(',' .. user[9] .. ',', ',' .. country .. ',', 1, true) then
    return {{'country', country}}
  end
end
local method, spent = ARGV[7], {{q = requests, p = tonumber(ARGV[3]), s = tonumber(ARGV[6])}}
if ARGV[13] ~= '' then user[3], rows_of_all = ARGV[13], '' end
"""

_COUNT = (
    _READ
    + FIND_CAP.replace("{", "{{").replace("}", "}}")
    + """
local word, crowded = 'charged', false
local function check(costs, limits, used)
  for at = 1, #costs do
    local sum = tonumber(used[at + 2] or 0)
    if costs[at] > 0 and sum + costs[at] > limits[at] then word = 'exhausted' end
  end
end
local function mark(scope, name, field, limit, before, after)
  if after * 100 < limit * 80 then return end
  for _, percent in ipairs({{80, 100}}) do
    if before * 100 < limit * percent and after * 100 >= limit * percent then
      local period = string.gsub(field, ' ', '/')
      redis.call('RPUSH', KEYS[5], table.concat({{percent, scope, id, name, limit, period, KEYS[1]}}, ' '))
      redis.call('LTRIM', KEYS[5], -10000, -1)
    end
  end
end
local function count(scope, key, fields, costs, used, changes, limits, names)
  local is_new, lasts = false, 0
  for at = 1, #costs do
    if costs[at] > 0 then
      is_new = is_new or not used[at + 2]
      local before = tonumber(used[at + 2] or 0)
      used[at + 2] = before + costs[at]
      if limits[at] < math.huge and ARGV[13] == '' then
        mark(scope, names[at], fields[at + 2], limits[at], before, used[at + 2])
      end
      changes[#changes + 1], changes[#changes + 2] = fields[at + 2], used[at + 2]
    end
    lasts = math.max(lasts, opens[string.match(fields[at + 2], ' (%a)')])
  end
  if #changes > 0 then redis.call('HSET', key, unpack(changes)) end
  if is_new then
    local oldest = {{m = now - 3600, h = now - 86400, d = tonumber(string.sub(windows.d, 2)) - 1,
                    M = tonumber(string.sub(windows.M, 2)) - 1}}
    for _, field in ipairs(redis.call('HKEYS', key)) do
      local per, start = string.match(field, '^%a%S* (%a)(%-?%d+)')
      if per and tonumber(start) < oldest[per] then redis.call('HDEL', key, field) end
    end
    redis.call('EXPIRE', key, math.floor(lasts - now + 86400))
  end
end
local fields, costs, limits, used, names = read(KEYS[2], user[3], kind ~= '' and kind or 'id')
local owner = used[1]
if owner and owner ~= id then
  redis.call('DEL', KEYS[2])
  for at = 1, #used do used[at] = false end
end
check(costs, limits, used)
local fields_of_all, costs_of_all, limits_of_all, used_of_all, names_of_all
if rows_of_all ~= '' then
  fields_of_all, costs_of_all, limits_of_all, used_of_all, names_of_all = read(KEYS[4], rows_of_all, 'id')
  check(costs_of_all, limits_of_all, used_of_all)
end
if word == 'charged' and KEYS[6] then
  local reached, wait = find_cap(KEYS[6], ARGV[10], ARGV[8], ARGV[9], now * 1000)
  if reached > 0 then return {{'capped', reached, wait}} end
end
if word == 'charged' then
  local changes = {{}}
  if kind ~= '' then
    local burst = used[2]"""
    + _BURST
    + """
    changes = {{kind, burst}}
  end
  if owner ~= id then changes[#changes + 1], changes[#changes + 2] = 'id', id end
  count('user', KEYS[2], fields, costs, used, changes, limits, names)
  if rows_of_all ~= '' then
    count('all', KEYS[4], fields_of_all, costs_of_all, used_of_all, {{}}, limits_of_all, names_of_all)
  end
end
local result = {{word, id, crowded and 1 or 0, tonumber(user[7] or 0), user[8], user[3], rows_of_all, user[11]}}
for at = 1, #costs do result[#result + 1] = tonumber(used[at + 2] or 0) end
if rows_of_all ~= '' then
  for at = 1, #costs_of_all do result[#result + 1] = tonumber(used_of_all[at + 2] or 0) end
end
"""
)

CHARGE = (
    _CHECK_USER
    + """
local now = tonumber(ARGV[14])
local windows = {{m = ARGV[15], h = ARGV[16], d = ARGV[17], M = ARGV[18]}}
local opens = {{m = tonumber(ARGV[19]), h = tonumber(ARGV[20]), d = tonumber(ARGV[21]), M = tonumber(ARGV[22])}}
"""
    + _COUNT
    + """
return result
"""
)
"""KEYS: the cached user, the counts of the user, the rows of the installation, the counts of the installation, the
quotas that came to 80 or 100 %, and of a single message that has caps what its address got.

ARGV: epoch, `revoked:NONCE`, recipients, id, kind of burst (s: single messages, all counted; c: codes, counted up
to the limit; or none), segments, method, of a single message that has caps its user, category and caps, the countries
of its numbers, comma-separated, the category that v1 took as the user's (else none), the rows that a test is charged to
in place of the user's and the installation's (or nothing), then the time as the caller knows it: now, the fields of the
windows, and when the next ones open.

For an API key the first two are the key as the caller knows it, and `key:DIGEST`.
Nearly all charges use this script.
"""

CHARGE_AND_RETURN_TIME = (
    _WINDOWS
    + _CHECK_USER
    + """
find_windows(14)
"""
    + _COUNT
    + """
return {{result, list_windows()}}
"""
)
"""The same where the caller does not know the time: ARGV ends with UTC offsets, and the time is returned too."""

USED = (
    _WINDOWS
    + """
local method, spent = '', {{q = 0, p = 0, s = 0}}
find_windows(4)
"""
    + _READ
    + """
local result = {{}}
for place = 1, 2 do
  local fields, costs, limits, used = read(KEYS[place], ARGV[place + 1], 'id')
  local is_other = place == 1 and used[1] and used[1] ~= ARGV[1]
  for at = 3, #fields do result[#result + 1] = not is_other and tonumber(used[at] or 0) or 0 end
end
return {{result, list_windows()}}
"""
)
"""KEYS: the counts of the user, and of the installation. ARGV: id, rows of the user, of the installation, offsets."""

REFUND = Script.of("""
if ARGV[1] ~= '' then
  if redis.call('SADD', KEYS[3], ARGV[1]) == 0 then return 0 end
  redis.call('EXPIRE', KEYS[3], ARGV[2])
end
local at = 5
for place = 1, 2 do
  local last = place == 1 and 4 + 2 * tonumber(ARGV[4]) or #ARGV
  local is_other = place == 1 and redis.call('HGET', KEYS[1], 'id') ~= ARGV[3]
  while at < last do
    if not is_other then
      local left = tonumber(redis.call('HGET', KEYS[place], ARGV[at]) or 0)
      if left > 0 then redis.call('HINCRBY', KEYS[place], ARGV[at], -math.min(left, tonumber(ARGV[at + 1]))) end
    end
    at = at + 2
  end
end
return 1
""")
"""KEYS: the counts of the user, and of the installation, and the refunded parts of the request.

ARGV: the name of the part to refund ('' : the caller knows that it was not refunded), how long it is remembered
(seconds), id, the number of the user's fields, then each field and its refund: the user's, then the installation's.
Returns 0 where the part was refunded already."""

COUNT = Script.of("""
local amount = tonumber(ARGV[1])
local count = tonumber(redis.call('GET', KEYS[1]) or 0)
if amount > 0 then
  count = redis.call('INCRBY', KEYS[1], amount)
  if count == amount then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
end
return {count, math.max(redis.call('PTTL', KEYS[1]), 0)}
""")
