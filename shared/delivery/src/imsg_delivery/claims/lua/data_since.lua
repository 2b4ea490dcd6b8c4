-- Answer since when Redis has kept its data, and date it from now where it is new.
local born = redis.call('GET', key)
if not born then
  born = string.format('%d', now_ms())
  redis.call('SET', key, born)
end
return born
