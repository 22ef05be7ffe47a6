-- End the work on a lane in a room: as nothing waits, or in any case.
-- KEYS: meta, hooks, on, notes. ARGV: lane, who, 1 to end it in any case or "".
-- Answers 0: ended, and the room is still alive; 1: something waits, and the claim stays; 2: ended, and nothing is going to
-- happen in the room that was not expected anew; 3: another holds it.
local lane = ARGV[1]
local held = redis.call('HGET', KEYS[2], lane .. '!')
if not held or string.match(held, '^(%S+)') ~= ARGV[2] then
  return 3
end
local epoch, offset = string.match(redis.call('HGET', KEYS[2], lane) or ' 0', '^(%w*) (%d+)$')
local waits
if string.sub(lane, -4) == ':log' then
  local meta = redis.call('HMGET', KEYS[1], 'e', 's')
  local top = tonumber(meta[2] or 0)
  waits = top > 0 and (meta[1] ~= epoch or top > tonumber(offset))
else
  waits = tonumber(redis.call('HGET', KEYS[2], 'n') or 0) > tonumber(offset)
end
if waits and ARGV[3] == '' then
  return 1
end
redis.call('HDEL', KEYS[2], lane .. '!')
if waits then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if tonumber(redis.call('HGET', KEYS[2], 'until') or 0) > now or redis.call('HLEN', KEYS[3]) > 0 then
  return 0
end
redis.call('HDEL', KEYS[2], lane)
-- With the last lane goes the rest.
local rest = 0
for _, value in ipairs({ 'until', 'q', 'n', 'x' }) do
  rest = rest + (redis.call('HGET', KEYS[2], value) and 1 or 0)
end
if redis.call('HLEN', KEYS[2]) == rest then
  redis.call('DEL', KEYS[2], KEYS[4])
end
return 2
