-- Notes events that are in no log, for webhooks, in the step in which they happen; part of the scripts in which they do.
-- `noted` is {kind, what is noted} for each, in order; `time` is the answer of TIME, `at` when they happened (ms).
local function note_events(hooks, notes, time, at, noted)
  local last = tonumber(redis.call('HGET', hooks, 'n') or 0)
  for _, event in ipairs(noted) do
    last = math.max(time[1] * 1000000 + time[2], last + 1)
    redis.call('XADD', notes, string.format('%.0f', last) .. '-0', 'k', event[1], 'a', string.format('%.0f', at), 'd', event[2])
  end
  redis.call('HSET', hooks, 'n', string.format('%.0f', last))
  local dropped = redis.call('XTRIM', notes, 'MAXLEN', redis.call('HGET', hooks, 'q') or '10000')
  if dropped > 0 then
    redis.call('HINCRBY', hooks, 'x', dropped)
  end
end

