-- Note an event that is in no log; sweep.lua does the same for those who come and go.
-- KEYS: hooks, notes. ARGV: kind, at (ms), what is noted.
-- Answers 1.
local time = redis.call('TIME')
local number = math.max(time[1] * 1000000 + time[2], tonumber(redis.call('HGET', KEYS[1], 'n') or 0) + 1)
local text = string.format('%.0f', number)
redis.call('XADD', KEYS[2], text .. '-0', 'k', ARGV[1], 'a', ARGV[2], 'd', ARGV[3])
redis.call('HSET', KEYS[1], 'n', text)
local most = redis.call('HGET', KEYS[1], 'q') or '10000'
local dropped = redis.call('XTRIM', KEYS[2], 'MAXLEN', most)
if dropped > 0 then
  redis.call('HINCRBY', KEYS[1], 'x', dropped)
end
return 1
