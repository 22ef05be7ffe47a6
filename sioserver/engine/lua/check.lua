-- with: show
-- Is a room's log still the one that a node knows, and what came after it?
-- KEYS: meta, log, folds, done. ARGV: the node's epoch or "" when it knows none, its top, how the entry at its top
-- begins behind its first byte, or "", a name for a new epoch, most messages to answer with, the highest offset that the node knows to be given.
-- Answers {epoch, top, first, [offset, message, ...], version of the presence, where a node of another epoch begins,
-- messages up to the top}: the messages after the node's top, when the epoch is the node's; and behind it, where there are operations
-- in the room, [state, ...] of each of these.
local meta = redis.call('HMGET', KEYS[1], 'e', 's', 'v', 'p', 'l', 'o', 'f')
local epoch, top, ops = meta[1], tonumber(meta[2] or 0), tonumber(meta[6] or 0)
local known = tonumber(ARGV[2])
if not epoch then
  epoch = ARGV[4]
  redis.call('HSET', KEYS[1], 'e', epoch)
  redis.call('EXPIRE', KEYS[1], 86400)
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
elseif top == 0 and redis.call('TTL', KEYS[1]) > 0 then
  redis.call('EXPIRE', KEYS[1], 86400)
end

local found, states = {}, nil
if epoch == ARGV[1] then
  local lost = top < tonumber(ARGV[6])
  if not lost and ARGV[3] ~= '' then
    local number = string.format('%.0f-0', known)
    local entry = redis.call('XRANGE', KEYS[2], number, number)[1]
    local fold = not entry and ops > 0 and redis.call('HGET', KEYS[3], key_of(known))
    -- What is only reacted to is not in its fold, which stays for a while when it is trimmed: then nothing is known of it.
    local data = fold and select(5, read_fold(fold)) or entry and entry[2][4] or ''
    if data ~= '' then
      lost = string.sub(data, 2, #ARGV[3] + 1) ~= ARGV[3]
    elseif meta[5] and top == known then
      -- A room that keeps no messages.
      local size = math.min(#ARGV[3], #meta[5] - 1)
      lost = string.sub(meta[5], 2, size + 1) ~= string.sub(ARGV[3], 1, size)
    end
  end
  if lost then
    -- The server lost its end, and perhaps the offsets were given again. What it still has stays, under a
    -- new name: also the places of the drafts up to here.
    redis.call('HSET', KEYS[1], 'e', ARGV[4], 'p', epoch, 'q', string.format('%.0f', top))
    epoch = ARGV[4]
  elseif known < top and ops > 0 then
    states = {}
    local from = math.max(known + 1, tonumber(meta[7]))
    show_folded(KEYS[2], KEYS[3], from, math.min(top, from + ARGV[5] - 1), found, states, {})
  elseif known < top then
    local from = string.format('%.0f-0', known + 1)
    for _, entry in ipairs(redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[5])) do
      found[#found + 1] = tonumber(string.sub(entry[1], 1, -3))
      found[#found + 1] = entry[2][4] or ''
    end
  end
end
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local first = top + 1
if oldest then
  first = ops > 0 and tonumber(meta[7]) or tonumber(string.sub(oldest[1], 1, -3))
end
-- All of a log that began when everything was lost is news, if it is not too much; of one that only lost its end
-- the nodes had the rest already.
local begin = top
if not meta[4] and epoch == meta[1] and top - first < tonumber(ARGV[5]) then
  begin = first - 1
end
return {epoch, top, first, found, tonumber(meta[3] or 0), begin, top - ops, states}
