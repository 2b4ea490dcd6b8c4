-- Take the providers' words about recipients away: those may name a person. What stands of them goes on to stand.
-- ARGV: recipients.
local stripped = 0
for _, n in ipairs(ARGV) do
  local entry = redis.call('HGET', key, n) or ''
  local head, body = string.match(entry, '^(s %d+ )(.*)$')
  if not head then head, body = string.match(entry, '^(r %d+ %d+ %d %d %d %d+ )(.*)$') end
  if head then
    local said = cjson.decode(body)
    local left = head .. cjson.encode({attempt = said.attempt, status = said.status, at = said.at, code = 'erased'})
    if left ~= entry then
      redis.call('HSET', key, n, left)
      stripped = stripped + 1
    end
  end
end
return stripped
