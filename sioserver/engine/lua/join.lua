-- Make somebody a member of a room.
-- KEYS: meta, members, names. ARGV: user id, name, 1 for a guest, of whom nothing is kept.
-- Answers {joined, cursor, read, top}.
local top = tonumber(redis.call('HGET', KEYS[1], 's') or 0)
if ARGV[3] == '1' then
  return {top, top, top, top}
end
local numbers, joined, cursor, read
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then
  local name
  numbers, joined, cursor, read, name = string.match(known, '^((%d+) (%d+) (%d+)) (.*)$')
  if name == ARGV[2] then
    return {tonumber(joined), tonumber(cursor), tonumber(read), top}
  end
  redis.call('ZREM', KEYS[3], name .. '\0' .. ARGV[1])
else
  joined, cursor, read = top, top, top
  numbers = string.format('%.0f %.0f %.0f', top, top, top)
  redis.call('PERSIST', KEYS[1])
end
redis.call('HSET', KEYS[2], ARGV[1], numbers .. ' ' .. ARGV[2])
redis.call('ZADD', KEYS[3], 0, ARGV[2] .. '\0' .. ARGV[1])
return {tonumber(joined), tonumber(cursor), tonumber(read), top}
