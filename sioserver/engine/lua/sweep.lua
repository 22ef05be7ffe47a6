-- with: hook_note
-- A lease lets users of a room go, their devices begin or cease to rest, and the coming of users is told; whatever is to be told is published as one diff. So are counts
-- that are not those told last: somebody who was counted may go before the coming was told.
-- KEYS: meta, members, on, here, at (what this lease holds), swept; where webhooks want to know, also hooks, notes.
-- ARGV: deadline (ms), lease, number of this call or "", sender, channel, publish command, life of `swept` (ms), 1 to tell
-- the counts if they are others also when nobody goes, or "", how many leave, how many rest or do not, the ids of the former, of the
-- latter each with 1 (its devices here rest) or "", the ids of those whose coming is to be told.
-- Without a number the lease is dead: as many leave as ARGV says, any of those whom it holds.
-- Answers {what was published or "", users whom the lease still holds}; nil: too late, nothing was done.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[1]) then
  return nil
end
local lease, number, count, moves = ARGV[2], ARGV[3], tonumber(ARGV[9]), tonumber(ARGV[10])
local leaving, first = {}, 11
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
  for i = 11, 10 + count do
    leaving[#leaving + 1] = ARGV[i]
  end
  first = 11 + count
end

-- Who is looked at, and as what they are kept: see enter.lua; false: they are not here (any more).
local entries, looked = {}, {}
local function look(id)
  if entries[id] == nil then
    local known = redis.call('HGET', KEYS[3], id)
    entries[id] = known and cmsgpack.unpack(known)
    looked[#looked + 1] = id
  end
  return entries[id]
end

local joined, left, gone = {}, {}, false
for _, id in ipairs(leaving) do
  redis.call('SREM', KEYS[5], id)
  local entry = look(id)
  if entry then
    local rest = {}
    for n = 1, #entry do
      if n < 4 or entry[n] ~= lease and entry[n] ~= '~' .. lease then
        rest[#rest + 1] = entry[n]
      end
    end
    entries[id] = rest
    if #rest == 3 then
      gone, entries[id] = true, false
      redis.call('HDEL', KEYS[3], id)
      redis.call('ZREM', KEYS[4], entry[2] .. '\0' .. id .. '\0' .. entry[3])
      if entry[3] == '1' then
        redis.call('HINCRBY', KEYS[1], 'g', -1)
      end
      if entry[1] ~= '' then
        left[#left + 1] = { id, entry[2], entry[3] }
      end
    end
  end
end
for i = first, first + 2 * moves - 1, 2 do
  local entry = look(ARGV[i])
  for n = 4, entry and #entry or 0 do
    if entry[n] == lease or entry[n] == '~' .. lease then
      entry[n] = (ARGV[i + 1] == '1' and '~' or '') .. lease
    end
  end
end
for i = first + 2 * moves, #ARGV do
  local entry = look(ARGV[i])
  if entry and entry[1] == '' then
    entry[1] = '1'
    joined[#joined + 1] = { ARGV[i], entry[2], entry[3] }
  end
end

-- Whose devices all rest is away: is it what was told last?
local away, back = {}, {}
for _, id in ipairs(looked) do
  local entry = entries[id]
  if entry then
    local state = 'a'
    for n = 4, #entry do
      if string.sub(entry[n], 1, 1) ~= '~' then
        state = '1'
      end
    end
    if entry[1] ~= '' and entry[1] ~= state then
      entry[1] = state
      local list = state == 'a' and away or back
      list[#list + 1] = { id, entry[2], entry[3] }
    end
    redis.call('HSET', KEYS[3], id, cmsgpack.pack(entry))
  end
end

if KEYS[7] and #joined + #left > 0 then
  local noted = {}
  local function note(kind, person)
    noted[#noted + 1] = { kind, cmsgpack.pack({ user = person[1], name = person[2], guest = person[3] == '1' }) }
  end
  for _, person in ipairs(left) do
    note('leave', person)
  end
  for _, person in ipairs(joined) do
    note('join', person)
  end
  note_events(KEYS[7], KEYS[8], time, now, noted)
end

local answer = ''
local meta = redis.call('HMGET', KEYS[1], 'g', 'v', 'c')
local online = redis.call('HLEN', KEYS[3])
local total = redis.call('HLEN', KEYS[2]) + math.max(0, tonumber(meta[1] or 0))
local counts = online .. ' ' .. total
-- Without `c` nobody was told anything, or the data was lost: then those who are entered again tell.
if #joined + #left + #away + #back > 0 or ARGV[8] ~= '' and meta[3] ~= counts or gone and meta[3] and meta[3] ~= counts then
  -- By the clock, so that versions go on rising when the server lost its data or its end.
  local version = math.max(now, tonumber(meta[2] or 0) + 1)
  redis.call('HSET', KEYS[1], 'v', string.format('%.0f', version), 'c', counts)
  answer = 'p' .. cmsgpack.pack({ ARGV[4], version, online, total, joined, left, away, back })
  redis.call(ARGV[6], ARGV[5], answer)
end
if number ~= '' then
  redis.call('SET', KEYS[6], number .. ' ' .. answer, 'PX', ARGV[7])
end
return { answer, redis.call('SCARD', KEYS[5]) }
