"""The Lua scripts of the stream broker: each is atomic and uses the server's clock.

A queue is the stream of its name, with the keys `NAME.returned` (a stream of entries that were handed back),
`NAME.retry` (a sorted set of delayed messages by due time) and `NAME.alive.CONSUMER` (a consumer's lease).
Entries have four fields: b(ody), k(ey), h(eaders as JSON), n (how often it was handed back). Consumers dead-letter
entries with other fields, which another program has written.
"""

from imsg_runtime.redis import Script

GROUP = "imsg"
"""The consumer group on every stream: the consumers of a queue share its messages."""

DECLARE = Script.of(
    """
for _, stream in ipairs(KEYS) do
  local reply = redis.pcall('XGROUP', 'CREATE', stream, ARGV[1], '0', 'MKSTREAM')
  if reply.err and not string.find(reply.err, 'BUSYGROUP') then return reply end
end
return 1
"""
)
"""KEYS streams. ARGV group. Creates missing streams and groups; a group begins with the oldest message."""

PUBLISH = Script.of(
    """
for _, stream in ipairs(KEYS) do
  redis.call('XADD', stream, '*', 'b', ARGV[1], 'k', ARGV[2], 'h', ARGV[3], 'n', '0')
end
return 1
"""
)
"""KEYS streams. ARGV body, key, headers."""

DELAY = Script.of(
    """
local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
redis.call('ZADD', KEYS[1], due, string.format('%010d%06d', time[1], time[2]) .. ARGV[2] .. ARGV[3])
return 1
"""
)
"""KEYS retry set. ARGV milliseconds, 16 characters that make it unique, body."""

FETCH = Script.of(
    """
local got, left = {}, tonumber(ARGV[3])
for _, stream in ipairs(KEYS) do
  if left > 0 then
    local reply = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', left, 'STREAMS', stream, '>')
    if reply then
      for _, entry in ipairs(reply[1][2]) do
        got[#got + 1] = {stream, entry[1], entry[2]}
        left = left - 1
      end
    end
  end
end
return got
"""
)
"""KEYS returned, queue. ARGV group, consumer, count. Returns entries, those of `returned` first, without blocking."""

ACK = Script.of(
    """
redis.call('XACK', KEYS[1], unpack(ARGV))
return redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
"""
)
"""KEYS stream. ARGV group, ids. Acks and deletes, so that the stream's length is the queue's depth."""

DEPTH = Script.of("return redis.call('XLEN', KEYS[1]) + redis.call('XLEN', KEYS[2])")
"""KEYS queue, returned. Ready and unacked."""

CONSUMERS = Script.of(
    """
local living = 0
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  if redis.call('EXISTS', KEYS[1] .. '.alive.' .. info[2]) == 1 then living = living + 1 end
end
return living
"""
)
"""KEYS queue. ARGV group. Returns the number of consumers with a lease."""

_HAND_BACK = """
local queue, returned, retry, history = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, me, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])

local function alive(consumer) return queue .. '.alive.' .. consumer end

local function later_than(id, other)
  local ms, seq = string.match(id, '(%d+)-(%d+)')
  local other_ms, other_seq = string.match(other, '(%d+)-(%d+)')
  if ms ~= other_ms then return tonumber(ms) > tonumber(other_ms) end
  return tonumber(seq) > tonumber(other_seq)
end

-- If nothing waits in the queue, its readers are blocked there, and an entry at its end wakes them at once.
-- Otherwise no reader is blocked, and `returned` is read first.
local function front()
  local last = redis.call('XREVRANGE', queue, '+', '-', 'COUNT', 1)[1]
  if not last then return queue end
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', queue)) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    if fields['name'] == group and later_than(last[1], fields['last-delivered-id']) then return returned end
  end
  return queue
end

local function hand_back(consumer)
  local target
  for _, stream in ipairs({returned, queue}) do
    for _, pending in ipairs(redis.call('XPENDING', stream, group, '-', '+', 10000, consumer)) do
      local id = pending[1]
      local entry = redis.call('XRANGE', stream, id, id)[1]
      if entry then
        local f = {}
        for i = 1, #entry[2] - 1, 2 do f[entry[2][i]] = entry[2][i + 1] end
        local times, body = (tonumber(f['n']) or 0) + 1, f['b'] or table.concat(entry[2], ' ')
        if times > limit and queue ~= history then
          local headers = cjson.encode({reason = 'delivery_limit', queue = queue})
          redis.call('XADD', history, '*', 'b', body, 'k', 'dead', 'h', headers, 'n', '0')
        else
          target = target or front()
          if f['b'] and f['k'] and f['h'] and f['n'] then
            redis.call('XADD', target, '*', 'b', body, 'k', f['k'], 'h', f['h'], 'n', times)
          else  -- malformed, of any size: a call of Lua takes some thousand arguments at most
            redis.call('XADD', target, '*', 'b', body, 'n', times)
          end
        end
      end
      redis.call('XACK', stream, group, id)
      redis.call('XDEL', stream, id)
    end
    redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
  end
end
"""
"""KEYS queue, returned, retry, history. ARGV group, consumer, delivery limit.

A consumer's entries go back under new ids, so that a late ack of an old id has no effect.
"""

LEAVE = Script.of(
    _HAND_BACK
    + """
redis.call('DEL', alive(me))
hand_back(me)
return 1
"""
)

RENEW = Script.of(
    _HAND_BACK
    + """
local lease, joining, batch = ARGV[4], ARGV[5] == '1', tonumber(ARGV[6])
if joining then
  redis.call('SET', alive(me), '1', 'PX', lease)
elseif not redis.call('SET', alive(me), '1', 'PX', lease, 'XX') then
  return -1
end
for _, stream in ipairs({returned, queue}) do
  for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    local other = info[2]
    if other ~= me and redis.call('EXISTS', alive(other)) == 0 then hand_back(other) end
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', retry, '-inf', now, 'LIMIT', 0, batch)
for _, member in ipairs(due) do
  redis.call('XADD', queue, '*', 'b', string.sub(member, 33), 'k', queue, 'h', '', 'n', '0')
end
if #due > 0 then redis.call('ZREMRANGEBYRANK', retry, 0, #due - 1) end
local next = redis.call('ZRANGE', retry, 0, 0, 'WITHSCORES')
if next[2] then return math.min(3600000, math.max(0, next[2] - now)) end
return 3600000
"""
)
"""ARGV also: lease in ms, 1 to join, the most delayed messages to move.

Renews the lease, hands back the entries of consumers without one, moves due messages into the queue.
Returns the milliseconds until the next message is due, an hour at most; -1 if the lease had expired, so that other
consumers may have its entries.
"""
