-- Move a member's read position forward, and the cursor with it.
-- KEYS: meta, members. ARGV: user id, offset.
-- Answers {joined, cursor, read, top}, or {top} of somebody who is not a member.
local top = tonumber(redis.call('HGET', KEYS[1], 's') or 0)
local known = redis.call('HGET', KEYS[2], ARGV[1])
if not known then
  return {top}
end
local joined, cursor, read, name = string.match(known, '^(%d+) (%d+) (%d+) (.*)$')
local proven = math.min(tonumber(ARGV[2]), top)
local further, next = math.max(tonumber(cursor), proven), math.max(tonumber(read), proven)
if further > tonumber(cursor) or next > tonumber(read) then
  redis.call('HSET', KEYS[2], ARGV[1], string.format('%s %.0f %.0f %s', joined, further, next, name))
end
return {tonumber(joined), further, next, top}
