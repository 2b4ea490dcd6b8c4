-- Write what attempts ended with, then claim more recipients.
-- ARGV: fencing token, owner, start field to take away or '', lease (ms), how long to keep (ms), how many recipients the
-- chunk has (0: not known), how many transitions, for each recipient, rank (-1: delayed), what to write; then recipients
-- to claim.
local token, owner, start, lease, keep = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local of, written, fields, reply, lost = tonumber(ARGV[6]), tonumber(ARGV[7]), {}, {}, false
local claimed = 8 + 3 * written
for i = 8, claimed - 1, 3 do fields[#fields + 1] = ARGV[i] end
for i = claimed, #ARGV do fields[#fields + 1] = ARGV[i] end
local found, changed, now = entries(fields), {}, nil
local function put(n, entry)
  changed[#changed + 1] = n
  changed[#changed + 1] = entry
end
local function clock()
  now = now or now_ms()
  return now
end
for i = 1, written do
  local n, rank, body = ARGV[5 + 3 * i], tonumber(ARGV[6 + 3 * i]), ARGV[7 + 3 * i]
  local entry = found[i]
  local kind = entry and string.sub(entry, 1, 1)
  local answer = 'k'
  lost = lost or not entry
  if kind == 's' and tonumber(string.match(entry, '^s (%d+)')) >= rank then
    answer = entry
  elseif rank >= 0 then
    put(n, string.format('s %d %s', rank, body))
  elseif kind == 'r' then
    -- Ours, written before its reply was lost; or whoever took over our claim has ended it already.
    answer = tonumber(string.match(entry, '^r (%d+)')) == token and entry or 'x'
  else
    local who, first = owner, nil
    if kind == 'c' then who, first = string.match(entry, '^c (%S+) %d+ %d+ (%d+)') end
    if who == owner then
      put(n, string.format('r %d %s %s', token, first or string.format('%d', clock()), body))
      if of > 0 then put('of', of) end -- its copies may be parts of the chunk
    else
      answer = 'x'
    end
  end
  reply[#reply + 1] = answer
end
for i = claimed, #ARGV do
  local entry, first, doubt = standing(found[written + 1 + i - claimed], token, owner, clock())
  if first then put(ARGV[i], claim_of(owner, clock() + lease, token, first, doubt)) end
  reply[#reply + 1] = entry
end
write(changed)
if start ~= '' then redis.call('HDEL', key, start, beginners(start)) end
-- Only a hash that was lost meanwhile has no end of its own: whoever began it gave it one.
if lost or written == 0 then bounded(keep) end
return reply
