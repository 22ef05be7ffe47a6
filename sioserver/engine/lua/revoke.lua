-- Change a rule by which tokens are refused, and publish the change.
-- KEYS: rules, changes, ends. ARGV: name, what to do ("revoke", "restore": only where nothing is known of it, "lift", "sweep": nothing but to forget
-- what is over), until (seconds since 1970), before (the same), how long it is kept at the least (s), how long it is remembered that it was lifted (s),
-- most rules, channel, publish command.
-- Answers {1 done, 0 nothing to do, -1 too many; the version, until and before of what is in force, the times as strings}.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
for _, over in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 256)) do
  redis.call('HDEL', KEYS[1], over)
  redis.call('ZREM', KEYS[2], over)
  redis.call('ZREM', KEYS[3], over)
end

local name, what = ARGV[1], ARGV[2]
local until_, before, lifted = tonumber(ARGV[3]), tonumber(ARGV[4]), 0
local known = redis.call('HGET', KEYS[1], name)
local old = known and cmsgpack.unpack(known)
if what == 'sweep' then
  return { 0, 0, '0', '0' }
elseif what == 'lift' then
  if not old or old[4] == 1 then
    return { 0, 0, '0', '0' }
  end
  until_, before, lifted = now + ARGV[6], 0, 1
elseif old and what == 'restore' then
  return { 0, 0, '0', '0' }
elseif old and old[4] == 0 then
  until_, before = math.max(until_, old[2]), math.max(before, old[3])
  if until_ == old[2] and before == old[3] then
    return { 0, old[1], string.format('%.17g', until_), string.format('%.17g', before) }
  end
elseif not old and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[7]) then
  return { -1, 0, '0', '0' }
end

-- By the clock, so that versions go on rising when the server lost its data or its end.
local newest = redis.call('ZRANGE', KEYS[2], 0, 0, 'REV', 'WITHSCORES')
local last = tonumber(newest[2] or 0)
local version = math.max(time[1] * 1000000 + time[2], last + 1)
local change = { version, until_, before, lifted }
redis.call('HSET', KEYS[1], name, cmsgpack.pack(change))
redis.call('ZADD', KEYS[2], string.format('%.0f', version), name)
-- Longer than its end, because the clocks of those who ask need not agree with this one.
redis.call('ZADD', KEYS[3], math.max(until_, now + ARGV[5]), name)
redis.call(ARGV[9], ARGV[8], 'r' .. cmsgpack.pack({ last, name, version, until_, before, lifted }))
return { 1, version, string.format('%.17g', until_), string.format('%.17g', before) }
