-- Number, store and announce a message, in one step.
-- KEYS: meta, log, place of the draft, folds, done, and with a pause the place of what the user said last. ARGV: a name for a new epoch, at (ms),
-- the message, history_length, history_age (ms), PUBLISH or SPUBLISH, deadline (ms of this server's clock), dedup window (ms), pause (ms, 0: none).
-- Answers {epoch, offset, at, 1 if it had been published before}, and behind it, if operations were made in the room, how many messages there
-- are up to this one (-1: of one that had been published before), or {""} when the deadline is over:
-- who asked has been refused by then, so nothing is done; or {"", ms that are left of the pause}.
local meta = redis.call('HMGET', KEYS[1], 'e', 's', 'l', 'o')
local epoch, top, ops = meta[1], tonumber(meta[2] or 0), meta[4]

local first = redis.call('GET', KEYS[3])
if first then
  local e, s, a = string.match(first, '^(%w+) (%d+) (-?%d+)$')
  local last = top
  if e ~= epoch then
    local before = redis.call('HMGET', KEYS[1], 'p', 'q')
    last = e == before[1] and tonumber(before[2]) or -1
  end
  if tonumber(s) <= last and tonumber(ARGV[2]) - tonumber(a) < tonumber(ARGV[8]) then
    return {epoch, tonumber(s), tonumber(a), 1, ops and -1 or nil}
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[7]) then
  return {''}
end

local pause = tonumber(ARGV[9])
if pause > 0 then
  local last = redis.call('GET', KEYS[6])
  if last and now - last < pause then
    return {'', math.min(pause, last + pause - now)}
  end
end

local offset = top + 1
if not epoch then
  epoch = ARGV[1]
  redis.call('HSET', KEYS[1], 'e', epoch)
end
if offset == 1 then
  -- A log without its meta (it was evicted, say) is of another life; and a room that was only looked at
  -- would be forgotten.
  redis.call('DEL', KEYS[2], KEYS[4], KEYS[5])
  redis.call('PERSIST', KEYS[1])
end
local number = string.format('%.0f', offset)
local length, age = tonumber(ARGV[4]), tonumber(ARGV[5])
if length > 0 then
  if meta[3] then
    redis.call('HDEL', KEYS[1], 'l')
  end
  if not ops then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', length, number .. '-0', 'a', ARGV[2], 'd', ARGV[3])
  else
    -- Its number is another than its offset. Trimming is trim.lua's there, which whoever publishes calls now and then.
    ops = tonumber(ops)
    redis.call('XADD', KEYS[2], number .. '-0', 'a', ARGV[2], 'd', ARGV[3], 'n', string.format('%.0f', offset - ops))
    if redis.call('XLEN', KEYS[2]) == 1 then
      redis.call('DEL', KEYS[4], KEYS[5])
      redis.call('HSET', KEYS[1], 'f', number)
    end
    for n = 4, 5 do
      if age > 0 then
        redis.call('PEXPIRE', KEYS[n], age)
      else
        redis.call('PERSIST', KEYS[n])
      end
    end
  end
  if age > 0 then
    if not ops and offset % 64 == 0 then
      local oldest, fresh = tonumber(ARGV[2]) - age, nil
      local first_entry = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
      if tonumber(first_entry[2][2]) < oldest then
        for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 96)) do
          fresh = entry[1]
          if tonumber(entry[2][2]) >= oldest then break end
        end
        redis.call('XTRIM', KEYS[2], 'MINID', fresh)
      end
    end
    redis.call('PEXPIRE', KEYS[2], age)
  else
    -- Nobody who publishes with a rule need come again: this message must not go with the older ones.
    redis.call('PERSIST', KEYS[2])
  end
else
  redis.call('DEL', KEYS[2], KEYS[4], KEYS[5])
  -- How it begins: that is all by which check.lua could find out that the offset was given again.
  redis.call('HSET', KEYS[1], 'l', string.sub(ARGV[3], 1, 512))
end
-- Last, because a script that fails is not undone: without this nothing has happened.
redis.call('HSET', KEYS[1], 's', number)
redis.call('SET', KEYS[3], epoch .. ' ' .. number .. ' ' .. ARGV[2], 'PX', ARGV[8])
if pause > 0 then
  redis.call('SET', KEYS[6], string.format('%.0f', now), 'PX', pause)
end
if ops then
  local upto = offset - ops
  local told = 'o' .. number .. ':' .. epoch .. ':' .. string.format('%.0f', upto) .. ':' .. ARGV[3]
  redis.call(ARGV[6], string.sub(KEYS[1], 1, -6), told)
  return {epoch, offset, tonumber(ARGV[2]), 0, upto}
end
redis.call(ARGV[6], string.sub(KEYS[1], 1, -6), 'm' .. number .. ':' .. epoch .. ':' .. ARGV[3])
return {epoch, offset, tonumber(ARGV[2]), 0}
