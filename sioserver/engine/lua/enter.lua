-- A lease holds users in a room from now on.
-- KEYS: meta, members, on, here, at (what this lease holds).
-- ARGV: deadline (ms), lease, then for each user: id, name, 1 for a guest or "", what to believe of what was told of
-- the user when nobody here knows them ("", "1" that they are online, "a" away), 1 if the lease's devices rest or "".
-- Answers {online, total, for each user 0, or 1 when the coming has been told, 2 when it was told last that they are away, version of the newest diff, 1 or 0: are the counts
-- to be told by the next sweep}; nil: too late, nothing was done.
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) > tonumber(ARGV[1]) then
  return nil
end
local lease, told, known_of = ARGV[2], {}, false
for i = 3, #ARGV, 5 do
  local id, name, guest = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local known = redis.call('HGET', KEYS[3], id)
  -- Who is online: {told, name, guest, lease, lease, ...}; ~ before a lease whose devices rest.
  local entry = known and cmsgpack.unpack(known) or { ARGV[i + 3], name, guest }
  local as = (ARGV[i + 4] == '1' and '~' or '') .. lease
  local place, held = #entry + 1, false
  for n = 4, #entry do
    if entry[n] == lease or entry[n] == '~' .. lease then
      place, held = n, entry[n] == as
    end
  end
  entry[place] = as
  -- In the order of the names, as `names` is; the flag comes last, so that it takes no part in the order.
  if known and (entry[2] ~= name or entry[3] ~= guest) then
    redis.call('ZREM', KEYS[4], entry[2] .. '\0' .. id .. '\0' .. entry[3])
    if entry[3] == '1' then
      redis.call('HINCRBY', KEYS[1], 'g', -1)
    end
    known = false
  end
  if not known then
    redis.call('ZADD', KEYS[4], 0, name .. '\0' .. id .. '\0' .. guest)
    if guest == '1' then
      redis.call('HINCRBY', KEYS[1], 'g', 1)
    end
    entry[2], entry[3] = name, guest
  end
  if not (known and held) then
    redis.call('HSET', KEYS[3], id, cmsgpack.pack(entry))
  end
  redis.call('SADD', KEYS[5], id)
  told[#told + 1] = entry[1] == '' and 0 or entry[1] == '1' and 1 or 2
  known_of = known_of or entry[1] ~= ''
end
local online = redis.call('HLEN', KEYS[3])
local meta = redis.call('HMGET', KEYS[1], 'g', 'v', 'c')
local total = redis.call('HLEN', KEYS[2]) + math.max(0, tonumber(meta[1] or 0))
local counts = meta[3] or ''
-- The answer tells counts, too. Whoever is still to be announced brings everybody the right ones; for the others it is kept
-- in mind that somebody may know other counts than those that were told last.
local differ = known_of and counts ~= online .. ' ' .. total
if differ and string.sub(counts, -1) ~= '?' then
  redis.call('HSET', KEYS[1], 'c', counts .. '?')
end
return { online, total, told, tonumber(meta[2] or 0), differ and 1 or 0 }
