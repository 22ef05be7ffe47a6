-- with: show
-- Apply a rule to a room's log.
-- KEYS: meta, log, folds, done. ARGV: history_length, history_age (ms, 0: for ever), the oldest time that stays (ms).
-- Answers {first, 1 if there may be more to drop}.
local meta = redis.call('HMGET', KEYS[1], 's', 'o', 'f')
local top, ops = tonumber(meta[1] or 0), tonumber(meta[2] or 0)
local length, age, since = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function oldest()
  return redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
end

-- In a room with operations: messages are missing from the stream, so offsets are counted, not entries.
local function trim_folded()
  local first, more = math.max(tonumber(meta[3]), top - length + 1), 0
  if age > 0 then
    for _ = 1, 8 do
      local stream, fresh, last = {}, false, math.min(first + 63, top)
      for _, entry in ipairs(redis.call('XRANGE', KEYS[2], key_of(first) .. '-0', key_of(last) .. '-0')) do
        stream[string.sub(entry[1], 1, -3)] = entry[2][2]
      end
      while first <= last and not fresh do
        local name = key_of(first)
        local fold = not stream[name] and redis.call('HGET', KEYS[3], name)
        local at = stream[name] or fold and select(4, read_fold(fold))
        fresh = at and tonumber(at) >= since
        first = fresh and first or first + 1
      end
      more = (fresh or first > top) and 0 or 1
      if more == 0 then break end
    end
  end
  redis.call('HSET', KEYS[1], 'f', key_of(first))
  redis.call('XTRIM', KEYS[2], 'MINID', key_of(first) .. '-0')
  -- A message's fold stays as long as there is an operation on it: an edit is shown with what it says.
  local over = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', '(' .. key_of(first), 'LIMIT', 0, 500)
  for _, target in ipairs(over) do
    redis.call('HDEL', KEYS[3], target, target .. 'r')
    redis.call('ZREM', KEYS[4], target)
  end
  return first, #over == 500 and 1 or more
end

local first, more = top + 1, 0
if length == 0 then
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
elseif ops > 0 and oldest() then
  first, more = trim_folded()
elseif ops == 0 then
  redis.call('XTRIM', KEYS[2], 'MAXLEN', length)
end
if ops == 0 and age > 0 then
  -- By their own times, oldest first: the clocks of the publishers need not agree.
  for _ = 1, 8 do
    local entries = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 64)
    local last, fresh = nil, nil
    for _, entry in ipairs(entries) do
      last = entry[1]
      if tonumber(entry[2][2]) >= since then
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
local left = oldest()
if left and ops == 0 then
  first = tonumber(string.sub(left[1], 1, -3))
end
for n = 2, 4 do
  if age == 0 then
    redis.call('PERSIST', KEYS[n])
  elseif left then
    -- Counted from now, so later than need be; but a rule that has changed holds without a new message.
    redis.call('PEXPIRE', KEYS[n], age)
  end
end
return {first, more}
