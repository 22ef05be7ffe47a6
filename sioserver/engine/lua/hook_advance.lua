-- What lies before the mark has been taken; the claim is held anew.
-- KEYS: hooks, notes. ARGV: lane, who, for how long (ms), mark, the room's lanes of notes.
-- Answers 1; 0 when another holds it.
local held = redis.call('HGET', KEYS[1], ARGV[1] .. '!')
if not held or string.match(held, '^(%S+)') ~= ARGV[2] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
redis.call('HSET', KEYS[1], ARGV[1] .. '!', ARGV[2] .. ' ' .. string.format('%.0f', now + ARGV[3]))
if string.sub(ARGV[1], -6) == ':notes' then
  local least
  for i = 5, #ARGV do
    local mark = redis.call('HGET', KEYS[1], ARGV[i])
    local number = mark and tonumber(string.match(mark, ' (%d+)$')) or 0
    least = math.min(least or number, number)
  end
  if least and least > 0 then
    redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f', least + 1) .. '-0')
  end
end
return 1
