-- with: show
-- Read a page of a room's log.
-- KEYS: meta, log, folds, done. ARGV: a name for a new epoch, after or "", before or "", limit, "1" to show operations too or "", most
-- entries to look at if not.
-- Answers {epoch, top, first, messages up to the top, start, end, [offset, message, ...]}, and behind it, if operations were made in the
-- room, [state, ...] of each of these. All of [start, end) was looked at.
local meta = redis.call('HMGET', KEYS[1], 'e', 's', 'o', 'f')
local epoch, top, ops = meta[1], tonumber(meta[2] or 0), tonumber(meta[3] or 0)
if not epoch then
  -- Told to somebody, so it has to stay the room's; but not for ever, if nothing ever happens there.
  epoch = ARGV[1]
  redis.call('HSET', KEYS[1], 'e', epoch)
  redis.call('EXPIRE', KEYS[1], 86400)
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
end
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local first = top + 1
if oldest then
  first = ops > 0 and tonumber(meta[4]) or tonumber(string.sub(oldest[1], 1, -3))
end

local after, before, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local low, high = first, top + 1
if after then low = math.max(low, after + 1) end
if before then high = math.min(high, before) end
local found = {}
if ops == 0 or ARGV[5] == '1' then
  if not after then low = math.max(low, high - limit) end
  high = math.max(low, math.min(high, low + limit))
  if ops == 0 then
    if low < high then
      local from, to = key_of(low) .. '-0', key_of(high - 1) .. '-0'
      for _, entry in ipairs(redis.call('XRANGE', KEYS[2], from, to)) do
        found[#found + 1] = tonumber(string.sub(entry[1], 1, -3))
        found[#found + 1] = entry[2][4] or ''
      end
    end
    return {epoch, top, first, top, low, high, found}
  end
  local states, given = {}, {}
  for from = low, high - 1, 500 do
    show_folded(KEYS[2], KEYS[3], from, math.min(from + 499, high - 1), found, states, given)
  end
  return {epoch, top, first, top - ops, low, high, found, states}
end

-- Operations are passed over: forwards, or from the newest backwards.
local states, left = {}, tonumber(ARGV[6])
high = math.max(low, high)
local start, stop = after and low or high, after and low or high
local step = math.min(100, math.max(20, limit))
while #states < limit and left > 0 and (after and stop or low) < (after and high or start) do
  local size = math.min(step, left)
  local from = after and stop or math.max(low, start - size)
  local to = after and math.min(high, stop + size) or start
  local lot, their = {}, {}
  show_folded(KEYS[2], KEYS[3], from, to - 1, lot, their, nil)
  left = left - size
  if after then
    stop = to
  else
    start = from
  end
  for n = 1, #their do
    local i = after and n or #their + 1 - n
    found[#found + 1] = lot[2 * i - 1]
    found[#found + 1] = lot[2 * i]
    states[#states + 1] = their[i]
    if #states == limit then
      if after then
        stop = lot[2 * i - 1] + 1
      else
        start = lot[2 * i - 1]
      end
      break
    end
  end
end
return {epoch, top, first, top - ops, start, stop, found, states}
