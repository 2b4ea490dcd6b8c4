-- What every script of the claims begins with. Each touches one key, so that it runs on a Redis Cluster too.
-- Lua's tostring writes 1.7e+12 for a time in milliseconds; hence %d everywhere.
local key = KEYS[1]
local AT_ONCE = 1000 -- fields of one command: unpack takes some thousand
local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
-- The entries of fields, false where there is none.
local function entries(fields)
  local found = {}
  for first = 1, #fields, AT_ONCE do
    local some = redis.call('HMGET', key, unpack(fields, first, math.min(first + AT_ONCE - 1, #fields)))
    for i = 1, #some do found[first + i - 1] = some[i] end
  end
  return found
end
-- Write field, entry, field, entry, … at once.
local function write(changed)
  for first = 1, #changed, AT_ONCE do
    redis.call('HSET', key, unpack(changed, first, math.min(first + AT_ONCE - 1, #changed)))
  end
end
-- How a recipient with this entry stands for a delivery of this fencing token and owner: a reply, and where it may be
-- claimed first try and doubt (0 none, 1 the provider may have it, 2 so, and taken over by the claim's owner).
local function standing(entry, token, owner, now)
  if not entry then return string.format('f %d 0', now), now, 0 end
  local kind = string.sub(entry, 1, 1)
  if kind == 's' then return entry end
  if kind == 'f' then
    local first, doubt = string.match(entry, '^f (%d+) (%d)')
    return entry, tonumber(first), tonumber(doubt)
  end
  if kind == 'r' then
    local at, first, doubt = string.match(entry, '^r (%d+) (%d+) (%d)')
    at = tonumber(at)
    if token < at then return 'x' end
    if token == at then return entry end
    return string.format('f %s %s', first, doubt), tonumber(first), tonumber(doubt)
  end
  local who, till, at, first, doubt = string.match(entry, '^c (%S+) (%d+) (%d+) (%d+) (%d)')
  if who == owner then
    if doubt == '2' then return 'e ' .. first, tonumber(first), 2 end
    return string.format('f %s %s', first, doubt), tonumber(first), tonumber(doubt)
  end
  if token < tonumber(at) then return 'x' end
  local left = tonumber(till) - now
  if left > 0 then return string.format('b %d', left) end
  return 'e ' .. first .. ' ' .. who, tonumber(first), 2
end
local function claim_of(owner, till, token, first, doubt)
  return string.format('c %s %d %d %d %d', owner, till, token, first, doubt)
end
-- Beside a start: who began it and is counted.
local function beginners(start) return 'by' .. string.sub(start, 6) end
-- A hash that came into being after a flush has no end of its own yet.
local function bounded(keep)
  if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, keep) end
end
