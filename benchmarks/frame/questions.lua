-- The questions of questions.py, made for wrk. Arguments: kind, file of members, first number, keys.
-- In the end it prints one line of JSON.

local function read(name)
   local found = {}
   for line in io.lines(name) do found[#found + 1] = line end
   return found
end

local function halves(text, mark)
   local from, to = text:find(mark, 1, true)
   return text:sub(1, from - 1), text:sub(to + 1)
end

function init(args)
   local kind, members = args[1], read(args[2])
   local number, keys = tonumber(args[3]), tonumber(args[4])
   local mark, zeros = "#########", "000000000"
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
   wrk.headers["Accept"] = "application/json"
   wrk.headers["Authorization"] = "Bearer sk-bench"
   wrk.headers["User-Agent"] = "bench"
   local body = "{" .. table.concat(members, ",") .. "}"
   wrk.body = body:gsub(mark, zeros)
   math.randomseed(number)

   if kind == "traced" then
      wrk.headers["traceparent"] = mark
      local before, after = halves(wrk.format(), mark)
      request = function()
         number = number + 1
         local id = string.format("%016x", number)
         return before .. "00-0000000000000000" .. id .. "-" .. id .. "-01\r\nX-Request-Id: req-"
            .. id .. "\r\nX-Stainless-Retry-Count: " .. number % 3 .. after
      end
   elseif kind == "unique" then
      wrk.body = body
      local before, after = halves(wrk.format(), mark)
      request = function()
         number = number + 1
         return before .. string.format("%09d", number) .. after
      end
   elseif kind == "reordered" or kind == "many" then
      local head = halves(wrk.format(), wrk.body)
      local at, before, after
      for place, member in ipairs(members) do
         if member:find(mark, 1, true) then
            at, before, after = place, halves(member, mark)
         end
      end
      local order, random = {}, math.random
      for place = 1, #members do order[place] = place end
      request = function()
         for last = #order, 2, -1 do
            local other = random(last)
            order[last], order[other] = order[other], order[last]
         end
         local which = kind == "many" and string.format("%09d", random(keys) - 1) or zeros
         members[at] = before .. which .. after
         local shuffled = {}
         for place, from in ipairs(order) do shuffled[place] = members[from] end
         return head .. "{" .. table.concat(shuffled, ",") .. "}"
      end
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   print(string.format(
      '\n{"requests":%d,"took_us":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,"status":%d,"broken":%d}',
      summary.requests, summary.duration, summary.bytes,
      latency:percentile(50), latency:percentile(99), errors.status,
      errors.connect + errors.read + errors.write + errors.timeout))
end
