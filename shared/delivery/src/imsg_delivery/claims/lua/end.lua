-- Bring a delivery to an orderly end.
-- ARGV: fencing token, owner, start field, how often it was broken before, how many recipients whose copies are kept,
-- these, then recipients that may be claimed and were not begun.
local token, owner, start, broken = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local count, before = string.match(redis.call('HGET', key, start) or '0 0', '^(%d+) (%d+)$')
count = tonumber(count)
local rest, mine, last_mine = {}, false, false
for who in string.gmatch(redis.call('HGET', key, beginners(start)) or '', '%S+') do
  last_mine = who == owner
  if last_mine then mine = true else rest[#rest + 1] = who end
end
if last_mine or redis.call('HEXISTS', key, beginners(start)) == 0 and count > 0 then
  count = math.min(count, broken)
elseif mine then
  count = count - 1 -- others have begun since
end
if not last_mine and redis.call('EXISTS', key) == 1 then
  -- Taken for dead meanwhile: what was counted in copies of it counts no more.
  redis.call('HSET', key, 'back/' .. owner, 1)
end
if count <= 0 then
  redis.call('HDEL', key, start, beginners(start))
  -- Of what was settled before, and gone, nothing stays.
  if redis.call('HLEN', key) == 1 then redis.call('HDEL', key, 'of') end
else
  redis.call('HSET', key, start, string.format('%d %s', count, before), beginners(start), table.concat(rest, ' '))
end
local last = 5 + tonumber(ARGV[5])
for i = 6, last do
  local entry = redis.call('HGET', key, ARGV[i]) or ''
  local at, head, tail = string.match(entry, '^r (%d+) (%d+ %d) 0 (.*)$')
  if at and tonumber(at) == token then
    redis.call('HSET', key, ARGV[i], string.format('r %s %s 1 %s', at, head, tail))
  end
end
for i = last + 1, #ARGV do
  local entry = redis.call('HGET', key, ARGV[i]) or ''
  local who, first, doubt = string.match(entry, '^c (%S+) %d+ %d+ (%d+) ([01])$')
  if who == owner then redis.call('HSET', key, ARGV[i], string.format('f %s %s', first, doubt)) end
end
return 1
