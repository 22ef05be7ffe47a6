-- A lease lets users of a room go, and the coming of users is told; whatever is to be told is published as one diff. So are counts
-- that are not those told last: somebody who was counted may go before the coming was told.
-- KEYS: meta, members, on, here, at (what this lease holds), swept.
-- ARGV: deadline (ms), lease, number of this call or "", sender, channel, publish command, life of `swept` (ms), 1 to tell
-- the counts if they are others also when nobody goes, or "", how many leave, their ids, ids of those whose coming is to be told.
-- Without a number the lease is dead: as many leave as ARGV says, any of those whom it holds.
-- Answers {what was published or "", users whom the lease still holds}; nil: too late, nothing was done.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[1]) then
  return nil
end
local lease, number, count = ARGV[2], ARGV[3], tonumber(ARGV[9])
local leaving, first = {}, 10
if number == '' then
  leaving = redis.call('SPOP', KEYS[5], count)
else
  -- The connection may send a call again whose answer it did not get. A node has one call for a room under way.
  local last = redis.call('GET', KEYS[6])
  if last then
    local done, answer = string.match(last, '^(%d+) (.*)$')
    if done == number then
      return { answer, redis.call('SCARD', KEYS[5]) }
    end
  end
  for i = 10, 9 + count do
    leaving[#leaving + 1] = ARGV[i]
  end
  first = 10 + count
end

local joined, left, gone = {}, {}, false
for _, id in ipairs(leaving) do
  redis.call('SREM', KEYS[5], id)
  local known = redis.call('HGET', KEYS[3], id)
  if known then
    local entry, rest = cmsgpack.unpack(known), {}
    for n = 1, #entry do
      if n < 4 or entry[n] ~= lease then
        rest[#rest + 1] = entry[n]
      end
    end
    if #rest > 3 then
      redis.call('HSET', KEYS[3], id, cmsgpack.pack(rest))
    else
      gone = true
      redis.call('HDEL', KEYS[3], id)
      redis.call('ZREM', KEYS[4], entry[2] .. '\0' .. id .. '\0' .. entry[3])
      if entry[3] == '1' then
        redis.call('HINCRBY', KEYS[1], 'g', -1)
      end
      if entry[1] == '1' then
        left[#left + 1] = { id, entry[2], entry[3] }
      end
    end
  end
end
for i = first, #ARGV do
  local known = redis.call('HGET', KEYS[3], ARGV[i])
  local entry = known and cmsgpack.unpack(known)
  if entry and entry[1] ~= '1' then
    entry[1] = '1'
    redis.call('HSET', KEYS[3], ARGV[i], cmsgpack.pack(entry))
    joined[#joined + 1] = { ARGV[i], entry[2], entry[3] }
  end
end

local answer = ''
local meta = redis.call('HMGET', KEYS[1], 'g', 'v', 'c')
local online = redis.call('HLEN', KEYS[3])
local total = redis.call('HLEN', KEYS[2]) + math.max(0, tonumber(meta[1] or 0))
local counts = online .. ' ' .. total
-- Without `c` nobody was told anything, or the data was lost: then those who are entered again tell.
if #joined + #left > 0 or ARGV[8] ~= '' and meta[3] ~= counts or gone and meta[3] and meta[3] ~= counts then
  -- By the clock, so that versions go on rising when the server lost its data or its end.
  local version = math.max(now, tonumber(meta[2] or 0) + 1)
  redis.call('HSET', KEYS[1], 'v', string.format('%.0f', version), 'c', counts)
  answer = 'p' .. cmsgpack.pack({ ARGV[4], version, online, total, joined, left })
  redis.call(ARGV[6], ARGV[5], answer)
end
if number ~= '' then
  redis.call('SET', KEYS[6], number .. ' ' .. answer, 'PX', ARGV[7])
end
return { answer, redis.call('SCARD', KEYS[5]) }
