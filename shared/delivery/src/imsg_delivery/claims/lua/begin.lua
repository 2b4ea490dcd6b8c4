-- Record that a delivery is begun, and answer how its recipients stand.
-- ARGV: fencing token, owner, start field, 1 where it is alone, starts that are too many, until when to keep (ms),
-- owners that are excused, recipients.
local token, owner, start, alone, limit = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4] == '1', tonumber(ARGV[5])
local keep_until, excused, now = tonumber(ARGV[6]), ' ' .. ARGV[7] .. ' ', now_ms()
local known = redis.call('EXISTS', key)
local reply, settled = {}, 0
for i = 8, #ARGV do
  local entry = standing(ARGV[i], token, owner, now)
  if string.sub(entry, 1, 1) == 's' then settled = settled + 1 end
  reply[#reply + 1] = entry
end
local count, before = string.match(redis.call('HGET', key, start) or '0 0', '^(%d+) (%d+)$')
local broken, by = tonumber(count), {}
if broken > 0 then
  for who in string.gmatch(redis.call('HGET', key, beginners(start)) or '', '%S+') do
    -- Who ended in good order after all, or was merely stopped, broke nothing.
    if string.find(excused, ' ' .. who .. ' ', 1, true) or redis.call('HEXISTS', key, 'back/' .. who) == 1 then
      broken = math.max(0, broken - 1)
    else
      by[#by + 1] = who
    end
  end
end
local began = table.concat(by, ' ')
-- Progress since the last start: whatever ended the worker, it was not this delivery alone.
if settled > tonumber(before) then broken = 0 end
local answer = 'go'
if broken >= limit then answer = 'dead' elseif broken > 0 and not alone then answer = 'alone' end
if answer == 'go' then
  local with = broken > 0 and began .. ' ' .. owner or owner
  redis.call('HSET', key, start, string.format('%d %d', broken + 1, settled), beginners(start), with)
  keep_until = math.max(keep_until, now + 86400000)
  if redis.call('PTTL', key) < keep_until - now then redis.call('PEXPIREAT', key, string.format('%d', keep_until)) end
end
return {string.format('%d', now), answer, broken, known, began, unpack(reply)}
