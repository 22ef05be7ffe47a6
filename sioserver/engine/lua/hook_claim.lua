-- Begin to work on a lane in a room.
-- KEYS: hooks. ARGV: lane, who, for how long (ms).
-- Answers {mark, notes that were dropped since the last time}; {"", for how long (ms) another holds it, if it does not begin anew}; {} when there
-- is no such lane.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mark = redis.call('HGET', KEYS[1], ARGV[1])
if not mark then
  return {}
end
local held = redis.call('HGET', KEYS[1], ARGV[1] .. '!')
if held then
  local who, ends = string.match(held, '^(%S+) (%d+)$')
  if who ~= ARGV[2] and tonumber(ends) > now then
    return { '', tonumber(ends) - now }
  end
end
redis.call('HSET', KEYS[1], ARGV[1] .. '!', ARGV[2] .. ' ' .. string.format('%.0f', now + ARGV[3]))
local dropped = tonumber(redis.call('HGET', KEYS[1], 'x') or 0)
if dropped > 0 then
  redis.call('HDEL', KEYS[1], 'x')
end
return { mark, dropped }
