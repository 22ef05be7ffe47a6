-- A node's sign of life, and a look at which others have stopped giving theirs.
-- KEYS: leases, dying, dead, peers.
-- ARGV: lease, its length from now (ms), the node as the others find it, 1 to begin it or "", longest pause (ms) after which the
-- server itself was not away, until when to look at the others (ms, 0: not at all), how long a dead lease is remembered (ms), channel, publish
-- command, the lease that it replaces or "".
-- Answers {state, end of the lease (ms), leases whose people are to be taken away, each with when it ended (ms)}; the state: 0 well, 1 well but late, 2 the lease was found expired by
-- somebody, 3 it is not known here.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease, length = ARGV[1], tonumber(ARGV[2])
local ends = redis.call('ZSCORE', KEYS[1], lease)
local state = 0
if ARGV[4] == '' then
  if not ends then
    return { redis.call('ZSCORE', KEYS[3], lease) and 2 or 3, 0, {} }
  end
  -- Everybody's lease looks expired when it was the server, or its clock, that stood still.
  if now - (ends - length) > tonumber(ARGV[5]) then
    state = 1
  end
end
redis.call('ZADD', KEYS[1], now + length, lease)
redis.call('HSET', KEYS[4], lease, ARGV[3])
if not ends then
  redis.call(ARGV[9], ARGV[8], 'n' .. cmsgpack.pack({ lease, ARGV[3] }))
  if ARGV[10] ~= '' then
    redis.call('ZREM', KEYS[1], ARGV[10])
    redis.call('HDEL', KEYS[4], ARGV[10])
    -- Its people are entered under the new lease meanwhile, so that taking them away from the old makes no noise.
    redis.call('ZADD', KEYS[2], now + length, ARGV[10])
  end
end

local found = {}
if now <= tonumber(ARGV[6]) and state == 0 then
  local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, 16)
  for i = 1, #over, 2 do
    redis.call('ZREM', KEYS[1], over[i])
    redis.call('HDEL', KEYS[4], over[i])
    redis.call('ZADD', KEYS[2], over[i + 1], over[i])
    redis.call('ZADD', KEYS[3], now, over[i])
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - ARGV[7])
  found = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'WITHSCORES', 'LIMIT', 0, 16)
end
return { state, now + length, found }
