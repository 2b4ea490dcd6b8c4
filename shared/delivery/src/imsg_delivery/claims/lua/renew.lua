-- Renew leases.
-- ARGV: fencing token, owner, lease (ms), how long to keep (ms), recipients.
local token, owner, now, keep = tonumber(ARGV[1]), ARGV[2], now_ms(), ARGV[4]
local till, fields, renewed = now + tonumber(ARGV[3]), {}, {}
for i = 5, #ARGV do fields[#fields + 1] = ARGV[i] end
for i, entry in ipairs(entries(fields)) do
  local who, at, first, doubt
  if entry then
    who, at, first, doubt = string.match(entry, '^c (%S+) %d+ (%d+) (%d+) (%d)')
  else
    -- Redis was flushed while the call is under way.
    who, at, first, doubt = owner, token, now, 0
  end
  if who == owner then
    renewed[#renewed + 1] = fields[i]
    renewed[#renewed + 1] = claim_of(owner, till, at, first, doubt)
  end
end
write(renewed)
bounded(keep)
return 1
