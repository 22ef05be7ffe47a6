-- with: hook_note
-- Change what was decided in a room, record who did it, note it for webhooks, and publish the change, in one step.
-- KEYS: decisions, ends, acts, place of this call; where webhooks want to know, also hooks, notes.
-- ARGV: what ("impose": there may be too many, "lift": nothing is done where there is nothing, "learn": addresses for a ban), the act or "", when that
-- was (ms), channel, publish command, most decisions (of "learn": addresses of a ban), most acts, how long acts are kept (s), how long a decision is
-- kept at the least (s), how long this call is known (ms), then for each record: its name, its value ("" takes it away; of "learn": addresses,
-- packed), until when (seconds since 1970, or "inf").
-- Answers {1 done, 0 nothing to do, -1 too many; the version before, the version, the values as they are kept now}.
-- The connection may send a call again whose answer it did not get.
local before = redis.call('GET', KEYS[4])
if before then
  local last, version = string.match(before, '^(%d+) (%d+)$')
  local values = {}
  for i = 12, #ARGV, 3 do
    values[#values + 1] = ARGV[i]
  end
  return { 1, tonumber(last), tonumber(version), values }
end

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
for _, over in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 256)) do
  redis.call('HDEL', KEYS[1], over)
  redis.call('ZREM', KEYS[2], over)
end

local what, last = ARGV[1], tonumber(redis.call('HGET', KEYS[1], 'v') or 0)
local names, values, ends = {}, {}, {}
for i = 11, #ARGV, 3 do
  local name, value = ARGV[i], ARGV[i + 1]
  local known = redis.call('HGET', KEYS[1], name)
  if what == 'learn' then
    if not known then
      return { 0, last, last, {} }
    end
    local ban, new = cmsgpack.unpack(known), false
    local addresses = ban[7]
    for _, address in ipairs(cmsgpack.unpack(value)) do
      local there = #addresses >= tonumber(ARGV[6])
      for _, other in ipairs(addresses) do
        there = there or other == address
      end
      if not there then
        addresses[#addresses + 1] = address
        new = true
      end
    end
    if not new then
      return { 0, last, last, {} }
    end
    value = cmsgpack.pack(ban)
  elseif value == '' then
    if not known and what == 'lift' then
      return { 0, last, last, {} }
    end
  elseif not known and redis.call('HLEN', KEYS[1]) + #names > tonumber(ARGV[6]) then
    return { -1, last, last, {} }
  end
  names[#names + 1], values[#values + 1], ends[#ends + 1] = name, value, ARGV[i + 2]
end

-- First of what is written: a script that fails is not undone, and what was decided has to be told.
if KEYS[5] then
  note_events(KEYS[5], KEYS[6], time, ARGV[3], { { 'moderation', ARGV[2] } })
end

-- By the clock, so that versions go on rising when the server lost its data or its end, or nothing was left.
local newest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
local version = math.max(time[1] * 1000000 + time[2], last + 1, newest and tonumber(newest[1]:match('^%d+')) + 1 or 0)
local notice = { string.format('%.0f:%.0f:', last, version) }
for i, name in ipairs(names) do
  if values[i] == '' then
    redis.call('HDEL', KEYS[1], name)
    redis.call('ZREM', KEYS[2], name)
  else
    redis.call('HSET', KEYS[1], name, values[i])
    -- Longer than its end, because the clocks of those who ask need not agree with this one.
    redis.call('ZADD', KEYS[2], math.max(tonumber(ends[i]), now + ARGV[9]), name)
  end
  notice[#notice + 1] = #name .. ':' .. #values[i] .. ':' .. name .. values[i]
end
redis.call('HSET', KEYS[1], 'v', string.format('%.0f', version))

-- All of it goes when the last of it is over.
local longest = redis.call('ZRANGE', KEYS[2], 0, 0, 'REV', 'WITHSCORES')
local rest = longest[2] == 'inf' and 0 or math.ceil(tonumber(longest[2] or now) - now) + 1
for _, key in ipairs({ KEYS[1], KEYS[2] }) do
  if rest == 0 then
    redis.call('PERSIST', key)
  else
    redis.call('EXPIRE', key, string.format('%.0f', rest))
  end
end

if ARGV[2] ~= '' then
  redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[7], string.format('%.0f-0', version), 'd', ARGV[2])
  redis.call('EXPIRE', KEYS[3], ARGV[8])
  redis.call('SET', KEYS[4], string.format('%.0f %.0f', last, version), 'PX', ARGV[10])
end
redis.call(ARGV[5], ARGV[4], 'd' .. table.concat(notice))
return { 1, last, version, values }
