-- Read a page of a room's log.
-- KEYS: meta, log. ARGV: a name for a new epoch, after or "", before or "", limit.
-- Answers {epoch, top, first, [offset, message, ...]}.
local meta = redis.call('HMGET', KEYS[1], 'e', 's')
local epoch, top = meta[1], tonumber(meta[2] or 0)
if not epoch then
  -- Told to somebody, so it has to stay the room's; but not for ever, if nothing ever happens there.
  epoch = ARGV[1]
  redis.call('HSET', KEYS[1], 'e', epoch)
  redis.call('EXPIRE', KEYS[1], 86400)
  redis.call('DEL', KEYS[2])
end
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local first = top + 1
if oldest then
  first = tonumber(string.sub(oldest[1], 1, -3))
end

local after, before, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local low, high = first, top + 1
if after then low = math.max(low, after + 1) end
if before then high = math.min(high, before) end
if not after then low = math.max(low, high - limit) end
high = math.min(high, low + limit)

local found = {}
if low < high then
  local from, to = string.format('%.0f-0', low), string.format('%.0f-0', high - 1)
  for _, entry in ipairs(redis.call('XRANGE', KEYS[2], from, to)) do
    found[#found + 1] = tonumber(string.sub(entry[1], 1, -3))
    found[#found + 1] = entry[2][4] or ''
  end
end
return {epoch, top, first, found}
