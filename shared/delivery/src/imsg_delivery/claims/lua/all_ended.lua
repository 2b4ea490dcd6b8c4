-- Say whether every recipient of a chunk has ended and nobody is at it: 0 no, 1 all were sent to, 2 some ended otherwise.
local all = redis.call('HGETALL', key)
local total, ended, sent = nil, 0, 0
for i = 1, #all, 2 do
  local field, entry = all[i], all[i + 1]
  if field == 'of' then
    total = tonumber(entry)
  elseif string.sub(field, 1, 6) == 'start/' then
    return 0
  elseif string.match(field, '^%d+$') then
    local rank = string.match(entry, '^s (%d+)')
    if not rank then return 0 end
    ended = ended + 1
    if rank == '5' then sent = sent + 1 end
  end
end
-- A copy may hold a part of the chunk alone, and Redis may have been flushed since the others were written.
if not total or ended ~= total or sent == 0 then return 0 end
return sent == total and 1 or 2
