-- Write the end of a recipient that was claimed in the step that began it, and nothing else: what `advance` does there.
-- ARGV: how long to keep (ms), the recipient, rank, what to write. Answers k, or what stands there and counts more.
local entry = redis.call('HGET', KEYS[1], ARGV[2])
local stands = entry and string.match(entry, '^s (%d+)')
if stands and tonumber(stands) >= tonumber(ARGV[3]) then return entry end
redis.call('HSET', KEYS[1], ARGV[2], 's ' .. ARGV[3] .. ' ' .. ARGV[4])
-- A hash that was lost meanwhile, and came into being again just now, has no end of its own.
if not entry and redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 'k'
