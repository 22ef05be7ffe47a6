-- The nodes that are alive.
-- KEYS: leases, peers. Answers [lease, node, lease, node, ...].
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = {}
for _, lease in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')) do
  local node = redis.call('HGET', KEYS[2], lease)
  if node then
    answer[#answer + 1] = lease
    answer[#answer + 1] = node
  end
end
return answer
