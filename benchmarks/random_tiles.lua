-- For wrk: every path of the file named by the first argument, in random order, round and round.
-- Each thread has its own order. The last line written to stdout is "requests microseconds errors".

local count = 0

function setup(thread)
   count = count + 1
   thread:set("number", count)
end

function init(args)
   paths = {}
   for path in io.lines(args[1]) do
      paths[#paths + 1] = path
   end
   math.randomseed(number)
   for i = #paths, 2, -1 do
      local j = math.random(i)
      paths[i], paths[j] = paths[j], paths[i]
   end
   position = 0
end

function request()
   position = position % #paths + 1
   return wrk.format("GET", paths[position])
end

function done(summary, latency, requests)
   local e = summary.errors
   print(summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout)
end
