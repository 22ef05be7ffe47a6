-- Apply a rule to a room's log.
-- KEYS: meta, log. ARGV: history_length, history_age (ms, 0: for ever), the oldest time that stays (ms).
-- Answers {first, 1 if there may be more to drop}.
local top = tonumber(redis.call('HGET', KEYS[1], 's') or 0)
local length, age = tonumber(ARGV[1]), tonumber(ARGV[2])
if length == 0 then
  redis.call('DEL', KEYS[2])
else
  redis.call('XTRIM', KEYS[2], 'MAXLEN', length)
end
local more = 0
if age == 0 then
  redis.call('PERSIST', KEYS[2])
else
  -- By their own times, oldest first: the clocks of the publishers need not agree.
  local oldest = tonumber(ARGV[3])
  for _ = 1, 8 do
    local entries = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 64)
    local last, fresh = nil, nil
    for _, entry in ipairs(entries) do
      last = entry[1]
      if tonumber(entry[2][2]) >= oldest then
        fresh = last
        break
      end
    end
    more = 0
    if fresh then
      redis.call('XTRIM', KEYS[2], 'MINID', fresh)
      break
    elseif not last then
      break
    end
    redis.call('XTRIM', KEYS[2], 'MINID', string.sub(last, 1, -2) .. '1')
    more = 1
  end
end
local left = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
if left then
  if age > 0 then
    -- Counted from now, so later than need be; but a rule that has changed holds without a new message.
    redis.call('PEXPIRE', KEYS[2], age)
  end
  return {tonumber(string.sub(left[1], 1, -3)), more}
end
return {top + 1, more}
