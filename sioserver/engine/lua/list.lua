-- Rooms are listed from now on; of too many, those go where nobody was for the longest time.
-- KEYS: seen, topics. ARGV: now, most, then for each room: name, "1" and its topic, or "" and "".
for i = 3, #ARGV, 3 do
  redis.call('ZADD', KEYS[1], ARGV[1], ARGV[i])
  if ARGV[i + 1] == '1' then
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 2])
  else
    redis.call('HDEL', KEYS[2], ARGV[i])
  end
end
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[2])
if over > 0 then
  over = math.min(over, 500)
  for _, room in ipairs(redis.call('ZRANGE', KEYS[1], 0, over - 1)) do
    redis.call('HDEL', KEYS[2], room)
  end
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, over - 1)
end
