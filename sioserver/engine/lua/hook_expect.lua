-- Something may be stored or noted in a room from now on: its lanes have marks.
-- KEYS: meta, hooks. ARGV: for how long (ms), most notes, the lanes.
-- Answers 1.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local meta = redis.call('HMGET', KEYS[1], 'e', 's')
local noted = redis.call('HGET', KEYS[2], 'n') or '0'
redis.call('HSET', KEYS[2], 'until', string.format('%.0f', now + ARGV[1]), 'q', ARGV[2])
for i = 3, #ARGV do
  if not redis.call('HGET', KEYS[2], ARGV[i]) then
    local is_log = string.sub(ARGV[i], -4) == ':log'
    local mark = is_log and (meta[1] or '') .. ' ' .. (meta[2] or '0') or ' ' .. noted
    redis.call('HSET', KEYS[2], ARGV[i], mark)
  end
end
return 1
