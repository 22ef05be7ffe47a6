-- A node stops in good order: its people stay for a while, because they usually come back through another node.
-- KEYS: leases, dying, peers. ARGV: lease, how long they stay (ms), channel, publish command.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call(ARGV[4], ARGV[3], 'n' .. cmsgpack.pack({ ARGV[1], '' }))
return 1
