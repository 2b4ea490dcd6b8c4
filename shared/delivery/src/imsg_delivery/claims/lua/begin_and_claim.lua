-- Begin the delivery of a single message and claim it in one step, where nothing is known of it yet; else do nothing.
-- ARGV: fencing token, owner, lease (ms), until when to keep (ms), the recipient. Answers the time, or 0.
-- The claim stands for the start: who finds it left behind counts it (begin). A start without a claim is left only to
-- who is delivered again, and that is begun in a step of its own.
local now = now_ms()
local claim = claim_of(ARGV[2], now + tonumber(ARGV[3]), tonumber(ARGV[1]), now, 0)
if redis.call('HSETNX', key, ARGV[5], claim) == 0 then return 0 end
redis.call('PEXPIREAT', key, string.format('%d', math.max(tonumber(ARGV[4]), now + 86400000)))
return string.format('%d', now)
