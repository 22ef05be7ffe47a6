-- with: show
-- Move a member's read position forward, and the cursor with it.
-- KEYS: meta, members, log, folds. ARGV: user id, offset.
-- Answers {joined, cursor, read, messages up to there, top, messages up to it}; of somebody who is not a member {top, messages up to it}.
local meta = redis.call('HMGET', KEYS[1], 's', 'o', 'f')
local top, ops = tonumber(meta[1] or 0), tonumber(meta[2] or 0)
local known = redis.call('HGET', KEYS[2], ARGV[1])
if not known then
  return {top, top - ops}
end

local function number_of(offset)
  local name = key_of(offset)
  local fold = redis.call('HGET', KEYS[4], name)
  if fold then
    return tonumber((select(3, read_fold(fold)))), true
  end
  local entry = redis.call('XRANGE', KEYS[3], name .. '-0', name .. '-0')[1]
  return tonumber(entry and entry[2][6] or name), not (entry and entry[2][8])
end

-- How many messages there are up to an offset; where the log does not hold it any more, up to its beginning.
local function messages_up_to(offset)
  local oldest = offset < top and redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
  if not oldest then
    return top - ops
  end
  local first = ops > 0 and tonumber(meta[3]) or tonumber(string.sub(oldest[1], 1, -3))
  if ops == 0 then
    return math.max(offset, first - 1)
  elseif offset >= first then
    return (number_of(offset))
  end
  local number, counts = number_of(first)
  return counts and number - 1 or number
end

local joined, cursor, read, number, name = string.match(known, '^(%d+) (%d+) (%d+) (%d+) (.*)$')
local proven = math.min(tonumber(ARGV[2]), top)
local further = math.max(tonumber(cursor), proven)
read, number = tonumber(read), tonumber(number)
local moves = proven > read
if moves then
  read, number = proven, math.max(number, messages_up_to(proven))
end
if further > tonumber(cursor) or moves then
  redis.call('HSET', KEYS[2], ARGV[1], string.format('%s %.0f %.0f %.0f %s', joined, further, read, number, name))
end
return {tonumber(joined), further, read, number, top, top - ops}
