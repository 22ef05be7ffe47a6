-- Make somebody a member of a room, or look whether they are one.
-- KEYS: meta, members, names.
-- ARGV: user id, name, "guest" (nothing is kept), "member" (who is no member becomes none) or "new", most members (0: no limit).
-- Answers {joined, cursor, read, messages up to there, top}, and of a guest 1 behind it if the room is known; {1 if it is} when there
-- is no such member; {} when there are too many.
local meta = redis.call('HMGET', KEYS[1], 's', 'o')
local top = tonumber(meta[1] or 0)
local upto = top - tonumber(meta[2] or 0)
local function known_room()
  return (top > 0 or redis.call('HLEN', KEYS[2]) > 0) and 1 or 0
end
if ARGV[3] == 'guest' then
  return {top, top, top, upto, top, known_room()}
end
local numbers, joined, cursor, read, number
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then
  local name
  numbers, joined, cursor, read, number, name = string.match(known, '^((%d+) (%d+) (%d+) (%d+)) (.*)$')
  if name == ARGV[2] then
    return {tonumber(joined), tonumber(cursor), tonumber(read), tonumber(number), top}
  end
  redis.call('ZREM', KEYS[3], name .. '\0' .. ARGV[1])
elseif ARGV[3] == 'member' then
  return {known_room()}
else
  local most = tonumber(ARGV[4])
  if most > 0 and redis.call('HLEN', KEYS[2]) >= most then
    return {}
  end
  joined, cursor, read, number = top, top, top, upto
  numbers = string.format('%.0f %.0f %.0f %.0f', top, top, top, upto)
  redis.call('PERSIST', KEYS[1])
end
redis.call('HSET', KEYS[2], ARGV[1], numbers .. ' ' .. ARGV[2])
redis.call('ZADD', KEYS[3], 0, ARGV[2] .. '\0' .. ARGV[1])
return {tonumber(joined), tonumber(cursor), tonumber(read), tonumber(number), top}
