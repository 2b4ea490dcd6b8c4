-- Keep the digests of settled chunks for at least as long as their hashes would have lived.
-- ARGV: until when (ms), digests.
local now = now_ms()
local keep_until = math.max(tonumber(ARGV[1]), now + 86400000)
local added = redis.call('SADD', key, unpack(ARGV, 2))
if redis.call('PTTL', key) < keep_until - now then redis.call('PEXPIREAT', key, string.format('%d', keep_until)) end
return added
