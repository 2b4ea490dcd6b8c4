-- Record that a delivery is begun, and answer how its recipients stand.
-- ARGV: fencing token, owner, start field, 1 where it is alone, starts that are too many, until when to keep (ms),
-- how many recipients the chunk has (0: not known), owners that are excused, recipients.
local token, owner, start, alone, limit = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4] == '1', tonumber(ARGV[5])
local keep_until, of, excused, now = tonumber(ARGV[6]), tonumber(ARGV[7]), ' ' .. ARGV[8] .. ' ', now_ms()
local fields = {start, beginners(start)}
for i = 9, #ARGV do fields[#fields + 1] = ARGV[i] end
local found = entries(fields)
local started, names = found[1], found[2] or ''
local known = (started or redis.call('EXISTS', key) == 1) and 1 or 0
local reply, settled = {}, 0
for i = 3, #fields do
  local entry = standing(found[i], token, owner, now)
  if string.sub(entry, 1, 1) == 's' then settled = settled + 1 end
  reply[#reply + 1] = entry
end
if not started and #fields == 3 then
  -- What was begun and claimed in one step has no start beside its claim: who let that lapse is counted.
  local who, till, at = string.match(found[3] or '', '^c (%S+) (%d+) (%d+)')
  if who and who ~= owner and tonumber(till) <= now and tonumber(at) == token then started, names = '1 0', who end
end
local count, before = string.match(started or '0 0', '^(%d+) (%d+)$')
local broken, by = tonumber(count), {}
if broken > 0 then
  for who in string.gmatch(names, '%S+') do
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
  local fields = {start, string.format('%d %d', broken + 1, settled), beginners(start), with}
  if of > 0 then fields[5], fields[6] = 'of', of end
  redis.call('HSET', key, unpack(fields))
  keep_until = math.max(keep_until, now + 86400000)
  if redis.call('PTTL', key) < keep_until - now then redis.call('PEXPIREAT', key, string.format('%d', keep_until)) end
end
return {string.format('%d', now), answer, broken, known, began, unpack(reply)}
