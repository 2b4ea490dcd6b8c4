-- Begin the delivery of a single message and claim it in one step, where nothing is known of it yet; else do nothing.
-- ARGV: fencing token, owner, lease (ms), until when to keep (ms), the recipient. Answers the time, or 0.
-- The claim stands for the start: who finds it left behind counts it (begin). A start without a claim is left only to
-- who is delivered again, and that is begun in a step of its own.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local claim = string.format('c %s %d %s %d 0', ARGV[2], now + tonumber(ARGV[3]), ARGV[1], now)
if redis.call('HSETNX', KEYS[1], ARGV[5], claim) == 0 then return 0 end
redis.call('PEXPIREAT', KEYS[1], string.format('%d', math.max(tonumber(ARGV[4]), now + 86400000)))
return string.format('%d', now)
