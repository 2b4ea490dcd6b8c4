-- Take back the claim of a single message that turned out to be settled, and with it the hash that it made.
-- ARGV: owner, the recipient.
local entry = redis.call('HGET', key, ARGV[2])
if entry and string.match(entry, '^c (%S+)') == ARGV[1] then redis.call('DEL', key) end
return 1
