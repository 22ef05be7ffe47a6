-- How many people a room has, and the version of the diff that says so.
-- KEYS: meta, members, on. Answers {online, total, version}.
local meta = redis.call('HMGET', KEYS[1], 'g', 'v')
local guests = math.max(0, tonumber(meta[1] or 0))
return { redis.call('HLEN', KEYS[3]), redis.call('HLEN', KEYS[2]) + guests, tonumber(meta[2] or 0) }
