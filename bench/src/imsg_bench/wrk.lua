-- POSTs one body over and over, or those of a file with one a line in turn, and looks at every answer; writes what it
-- found as JSON to standard error.
local threads = {}

function setup(thread) table.insert(threads, thread) end

function init(args)
  accepted, refused, example = 0, 0, ""
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  local requests, at = {}, 0
  for body in io.lines(args[1]) do
    wrk.body = body
    requests[#requests + 1] = wrk.format()
  end
  if #requests > 1 then
    function request()
      at = at % #requests + 1
      return requests[at]
    end
  end
end

function response(status, headers, body)
  if status == 200 and string.find(body, '"errorCode":0', 1, true) then
    accepted = accepted + 1
  else
    refused = refused + 1
    example = body
  end
end

function done(summary, latency, requests)
  local accepted, refused, example = 0, 0, ""
  for _, thread in ipairs(threads) do
    accepted = accepted + thread:get("accepted")
    refused = refused + thread:get("refused")
    if thread:get("example") ~= "" then example = thread:get("example") end
  end
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.stderr:write(string.format(
    '{"accepted":%d,"refused":%d,"lost":%d,"seconds":%f}\n%s\n',
    accepted, refused, lost, summary.duration / 1e6, example
  ))
end
