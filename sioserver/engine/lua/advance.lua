-- Move cursors of a room's members forward.
-- KEYS: meta, members. ARGV: user id, offset, user id, offset, ...
local top = tonumber(redis.call('HGET', KEYS[1], 's') or 0)
for i = 1, #ARGV, 2 do
  local known = redis.call('HGET', KEYS[2], ARGV[i])
  if known then
    local joined, cursor, rest = string.match(known, '^(%d+) (%d+) (.*)$')
    local proven = math.min(tonumber(ARGV[i + 1]), top)
    if proven > tonumber(cursor) then
      redis.call('HSET', KEYS[2], ARGV[i], string.format('%s %.0f %s', joined, proven, rest))
    end
  end
end
return 1
