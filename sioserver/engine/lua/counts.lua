-- How many people a room has.
-- KEYS: meta, members, on. Answers {online, total}.
local guests = math.max(0, tonumber(redis.call('HGET', KEYS[1], 'g') or 0))
return { redis.call('HLEN', KEYS[3]), redis.call('HLEN', KEYS[2]) + guests }
