-- Begin the delivery of a single message and claim it in one step, where nothing is known of it yet; else do nothing.
-- ARGV: fencing token, owner, lease (ms), until when to keep (ms), the recipient, 1 where it is the whole chunk.
-- Answers the time, or 0.
-- The claim stands for the start: who finds it left behind counts it (begin).
if redis.call('EXISTS', key) == 1 then return 0 end
local now = now_ms()
local fields = {ARGV[5], claim_of(ARGV[2], now + tonumber(ARGV[3]), tonumber(ARGV[1]), now, 0)}
if ARGV[6] == '1' then fields[3], fields[4] = 'of', 1 end
redis.call('HSET', key, unpack(fields))
redis.call('PEXPIREAT', key, string.format('%d', math.max(tonumber(ARGV[4]), now + 86400000)))
return string.format('%d', now)
