-- Drop a user's mentions in a room.
-- KEYS: the user's mentions, what they are. ARGV: the room.
for _, place in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if string.match(place, '^%S+ (.*)$') == ARGV[1] then
    redis.call('ZREM', KEYS[1], place)
    redis.call('HDEL', KEYS[2], place)
  end
end
return 1
