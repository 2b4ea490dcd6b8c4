-- Write what attempts ended with, then claim more recipients.
-- ARGV: fencing token, owner, start field to take away or '', lease (ms), how long to keep (ms), how many transitions,
-- for each recipient, rank (-1: delayed), what to write; then recipients to claim.
local token, owner, start, lease, keep = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local now, reply, at = now_ms(), {}, 7
for _ = 1, tonumber(ARGV[6]) do
  local n, rank, body = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  at = at + 3
  local entry = redis.call('HGET', key, n)
  local kind = entry and string.sub(entry, 1, 1)
  local answer = 'k'
  if kind == 's' and tonumber(string.match(entry, '^s (%d+)')) >= rank then
    answer = entry
  elseif rank >= 0 then
    redis.call('HSET', key, n, string.format('s %d %s', rank, body))
  elseif kind == 'r' then
    -- Ours, written before its reply was lost; or who took over our claim has judged it already.
    answer = tonumber(string.match(entry, '^r (%d+)')) == token and entry or 'x'
  else
    local who, first = owner, string.format('%d', now)
    if kind == 'c' then who, first = string.match(entry, '^c (%S+) %d+ %d+ (%d+)') end
    if who == owner then
      redis.call('HSET', key, n, string.format('r %d %s %s', token, first, body))
    else
      answer = 'x'
    end
  end
  reply[#reply + 1] = answer
end
for i = at, #ARGV do
  local entry, first, doubt = standing(ARGV[i], token, owner, now)
  if first then claim(ARGV[i], owner, now + lease, token, first, doubt) end
  reply[#reply + 1] = entry
end
if start ~= '' then redis.call('HDEL', key, start, beginners(start)) end
bounded(keep)
return reply
