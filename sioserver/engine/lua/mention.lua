-- Note that a message names a user.
-- KEYS: the user's mentions, what they are. ARGV: "<position of the message> <room>", the mention, its time (ms), how many are kept.
-- Answers its number, as a string.
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if known then
  return known
end
local number = tonumber(ARGV[3])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if last then
  number = math.max(number, tonumber(last) + 1)
end
local over = redis.call('ZCARD', KEYS[1]) + 1 - tonumber(ARGV[4])
if over > 0 then
  redis.call('HDEL', KEYS[2], unpack(redis.call('ZRANGE', KEYS[1], 0, over - 1)))
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, over - 1)
end
number = string.format('%.0f', number)
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[1], number, ARGV[1])
return number
