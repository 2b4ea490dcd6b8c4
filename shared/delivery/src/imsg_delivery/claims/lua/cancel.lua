-- Settle recipients as cancelled that no worker has claimed and no provider may have.
-- ARGV: until when to keep (ms), what to write, recipients. Answers for each what stands there and ended before; or k
-- cancelled, n cancelled where nothing was known of it, b a worker is sending it, d the provider may have it.
local keep_until, body, fields, changed, reply, now = tonumber(ARGV[1]), ARGV[2], {}, {}, {}, now_ms()
for i = 3, #ARGV do fields[#fields + 1] = ARGV[i] end
for i, entry in ipairs(entries(fields)) do
  local kind = entry and string.sub(entry, 1, 1) or 'n'
  local answer = kind
  if kind == 's' then
    answer = entry
  elseif kind == 'c' then
    answer = tonumber(string.match(entry, '^c %S+ (%d+)')) > now and 'b' or 'd'
  elseif kind == 'f' or kind == 'r' then
    answer = string.match(entry, kind == 'f' and '^f %d+ (%d)' or '^r %d+ %d+ (%d)') == '0' and 'k' or 'd'
  end
  if answer == 'k' or answer == 'n' then
    changed[#changed + 1] = fields[i]
    changed[#changed + 1] = body
  end
  reply[i] = answer
end
write(changed)
if #changed > 0 and redis.call('PTTL', key) < keep_until - now then
  redis.call('PEXPIREAT', key, string.format('%d', keep_until))
end
return reply
