-- Renew leases.
-- ARGV: fencing token, owner, lease (ms), how long to keep (ms), recipients.
local token, owner, till, keep = tonumber(ARGV[1]), ARGV[2], now_ms() + tonumber(ARGV[3]), ARGV[4]
for i = 5, #ARGV do
  local entry = redis.call('HGET', key, ARGV[i])
  if not entry then
    -- Redis was flushed while the call is under way.
    claim(ARGV[i], owner, till, token, now_ms(), 0)
  else
    local who, at, first, doubt = string.match(entry, '^c (%S+) %d+ (%d+) (%d+) (%d)')
    if who == owner then claim(ARGV[i], owner, till, at, first, doubt) end
  end
end
bounded(keep)
return 1
