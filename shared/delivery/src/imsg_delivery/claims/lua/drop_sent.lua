-- Let go of what was sent: the set of settled chunks says so.
local all, sent = redis.call('HGETALL', key), {}
for i = 1, #all, 2 do
  if string.match(all[i], '^%d+$') and string.match(all[i + 1], '^s 5 ') then sent[#sent + 1] = all[i] end
end
for first = 1, #sent, AT_ONCE do
  redis.call('HDEL', key, unpack(sent, first, math.min(first + AT_ONCE - 1, #sent)))
end
return #sent
