-- Put a room into the set of those that a user belongs to, unless there are so many.
-- KEYS: the user's rooms. ARGV: room, most (0: no limit). Answers 1, or 0 when there are.
local most = tonumber(ARGV[2])
if most > 0 and redis.call('SCARD', KEYS[1]) >= most and redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('SADD', KEYS[1], ARGV[1])
return 1
