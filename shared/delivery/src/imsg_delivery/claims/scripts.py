"""The ledger's single steps, in Lua: each touches one key, so that it runs on a Redis Cluster too."""

from imsg_runtime.redis import Script

# Lua's tostring writes 1.7e+12 for a time in milliseconds; hence %d everywhere.
_COMMON = """
local key = KEYS[1]
local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
-- How recipient n stands for a delivery of this turn and owner: a reply, and where it may be claimed
-- first try and doubt (0 none, 1 the provider may have it, 2 so, and taken over by the claim's owner).
local function standing(n, turn, owner, now)
  local entry = redis.call('HGET', key, n)
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
    if turn < at then return 'x' end
    if turn == at then return entry end
    return string.format('f %s %s', first, doubt), tonumber(first), tonumber(doubt)
  end
  local who, till, at, first, doubt = string.match(entry, '^c (%S+) (%d+) (%d+) (%d+) (%d)')
  if who == owner then
    if doubt == '2' then return 'e ' .. first, tonumber(first), 2 end
    return string.format('f %s %s', first, doubt), tonumber(first), tonumber(doubt)
  end
  if turn < tonumber(at) then return 'x' end
  local left = tonumber(till) - now
  if left > 0 then return string.format('b %d', left) end
  return 'e ' .. first .. ' ' .. who, tonumber(first), 2
end
local function claim(n, owner, till, turn, first, doubt)
  redis.call('HSET', key, n, string.format('c %s %d %d %d %d', owner, till, turn, first, doubt))
end
-- Beside a start: who began it and is counted.
local function beginners(start) return 'by' .. string.sub(start, 6) end
-- A hash that came into being after a flush has no end of its own yet.
local function bounded(keep)
  if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, keep) end
end
"""

BEGIN = Script.of(
    _COMMON
    + """
local turn, owner, start, alone, limit = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4] == '1', tonumber(ARGV[5])
local keep_until, excused, now = tonumber(ARGV[6]), ' ' .. ARGV[7] .. ' ', now_ms()
local known = redis.call('EXISTS', key)
local reply, settled = {}, 0
for i = 8, #ARGV do
  local entry = standing(ARGV[i], turn, owner, now)
  if string.sub(entry, 1, 1) == 's' then settled = settled + 1 end
  reply[#reply + 1] = entry
end
local count, before = string.match(redis.call('HGET', key, start) or '0 0', '^(%d+) (%d+)$')
local broken, by = tonumber(count), {}
if broken > 0 then
  for who in string.gmatch(redis.call('HGET', key, beginners(start)) or '', '%S+') do
    -- Who ended in good order after all, or was merely stopped, broke nothing.
    if string.find(excused, ' ' .. who .. ' ', 1, true) or redis.call('HEXISTS', key, 'back/' .. who) == 1 then
      broken = math.max(0, broken - 1)
    else
      by[#by + 1] = who
    end
  end
end
local began = table.concat(by, ' ')
-- Progress since the last start: whatever ended the worker, it was not this delivery alone.
if settled > tonumber(before) then broken = 0 end
local answer = 'go'
if broken >= limit then answer = 'dead' elseif broken > 0 and not alone then answer = 'alone' end
if answer == 'go' then
  local with = broken > 0 and began .. ' ' .. owner or owner
  redis.call('HSET', key, start, string.format('%d %d', broken + 1, settled), beginners(start), with)
  keep_until = math.max(keep_until, now + 86400000)
  if redis.call('PTTL', key) < keep_until - now then redis.call('PEXPIREAT', key, string.format('%d', keep_until)) end
end
return {string.format('%d', now), answer, broken, known, began, unpack(reply)}
"""
)

ADVANCE = Script.of(
    _COMMON
    + """
local turn, owner, start, lease, keep = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local now, reply, at = now_ms(), {}, 7
for _ = 1, tonumber(ARGV[6]) do
  local n, rank, body = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  at = at + 3
  local entry = redis.call('HGET', key, n)
  local kind = entry and string.sub(entry, 1, 1)
  local answer = 'k'
  if kind == 's' and tonumber(string.match(entry, '^s (%d+)')) >= rank then
    answer = entry
  elseif rank >= 0 then
    redis.call('HSET', key, n, string.format('s %d %s', rank, body))
  elseif kind == 'r' then
    -- Ours, written before its reply was lost; or who took over our claim has judged it already.
    answer = tonumber(string.match(entry, '^r (%d+)')) == turn and entry or 'x'
  else
    local who, first = owner, string.format('%d', now)
    if kind == 'c' then who, first = string.match(entry, '^c (%S+) %d+ %d+ (%d+)') end
    if who == owner then
      redis.call('HSET', key, n, string.format('r %d %s %s', turn, first, body))
    else
      answer = 'x'
    end
  end
  reply[#reply + 1] = answer
end
for i = at, #ARGV do
  local entry, first, doubt = standing(ARGV[i], turn, owner, now)
  if first then claim(ARGV[i], owner, now + lease, turn, first, doubt) end
  reply[#reply + 1] = entry
end
if start ~= '' then redis.call('HDEL', key, start, beginners(start)) end
bounded(keep)
return reply
"""
)

RENEW = Script.of(
    _COMMON
    + """
local turn, owner, till, keep = tonumber(ARGV[1]), ARGV[2], now_ms() + tonumber(ARGV[3]), ARGV[4]
for i = 5, #ARGV do
  local entry = redis.call('HGET', key, ARGV[i])
  if not entry then
    -- Redis was flushed while the call is under way.
    claim(ARGV[i], owner, till, turn, now_ms(), 0)
  else
    local who, at, first, doubt = string.match(entry, '^c (%S+) %d+ (%d+) (%d+) (%d)')
    if who == owner then claim(ARGV[i], owner, till, at, first, doubt) end
  end
end
bounded(keep)
return 1
"""
)

END = Script.of(
    _COMMON
    + """
local turn, owner, start, broken = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local count, before = string.match(redis.call('HGET', key, start) or '0 0', '^(%d+) (%d+)$')
count = tonumber(count)
local rest, mine, last_mine = {}, false, false
for who in string.gmatch(redis.call('HGET', key, beginners(start)) or '', '%S+') do
  last_mine = who == owner
  if last_mine then mine = true else rest[#rest + 1] = who end
end
if last_mine or redis.call('HEXISTS', key, beginners(start)) == 0 and count > 0 then
  count = math.min(count, broken)
elseif mine then
  count = count - 1 -- others have begun since
end
if not last_mine and redis.call('EXISTS', key) == 1 then
  -- Taken for dead meanwhile: what was counted in copies of it counts no more.
  redis.call('HSET', key, 'back/' .. owner, 1)
end
if count <= 0 then
  redis.call('HDEL', key, start, beginners(start))
else
  redis.call('HSET', key, start, string.format('%d %s', count, before), beginners(start), table.concat(rest, ' '))
end
local last = 5 + tonumber(ARGV[5])
for i = 6, last do
  local entry = redis.call('HGET', key, ARGV[i]) or ''
  local at, head, tail = string.match(entry, '^r (%d+) (%d+ %d) 0 (.*)$')
  if at and tonumber(at) == turn then
    redis.call('HSET', key, ARGV[i], string.format('r %s %s 1 %s', at, head, tail))
  end
end
for i = last + 1, #ARGV do
  local entry = redis.call('HGET', key, ARGV[i]) or ''
  local who, first, doubt = string.match(entry, '^c (%S+) %d+ %d+ (%d+) ([01])$')
  if who == owner then redis.call('HSET', key, ARGV[i], string.format('f %s %s', first, doubt)) end
end
return 1
"""
)

CARRY = Script.of(
    _COMMON
    + """
for i = 2, #ARGV, 3 do redis.call('HSET', key, ARGV[i], ARGV[i + 1] .. ' 0', beginners(ARGV[i]), ARGV[i + 2]) end
bounded(ARGV[1])
return 1
"""
)

BORN = Script.of(
    _COMMON
    + """
local born = redis.call('GET', key)
if not born then
  born = string.format('%d', now_ms())
  redis.call('SET', key, born)
end
return born
"""
)

STRIP = Script.of(
    _COMMON
    + """
local stripped = 0
for _, n in ipairs(ARGV) do
  local entry = redis.call('HGET', key, n) or ''
  local head, body = string.match(entry, '^(s %d+ )(.*)$')
  if not head then head, body = string.match(entry, '^(r %d+ %d+ %d %d %d %d+ )(.*)$') end
  if head then
    local said = cjson.decode(body)
    local left = head .. cjson.encode({attempt = said.attempt, status = said.status, at = said.at, code = 'erased'})
    if left ~= entry then
      redis.call('HSET', key, n, left)
      stripped = stripped + 1
    end
  end
end
return stripped
"""
)
"""ARGV: recipients. What stands of them goes on to stand, without the provider's words: those may name a person."""
