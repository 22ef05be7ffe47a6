-- Forget a member of a room, and tell the nodes that have the room.
-- KEYS: meta, members, names. ARGV: user id, PUBLISH or SPUBLISH, what the nodes are told.
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then
  local name = string.match(known, '^%d+ %d+ %d+ %d+ (.*)$')
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], name .. '\0' .. ARGV[1])
end
redis.call(ARGV[2], string.sub(KEYS[1], 1, -6), ARGV[3])
return 1
