-- What has changed among the rules by which tokens are refused.
-- KEYS: rules, changes. ARGV: the version that a node knows, most changes to answer with.
-- Answers [the newest version that there is, name, change, ...] in the order of the versions.
local answer = { tonumber(redis.call('ZRANGE', KEYS[2], 0, 0, 'REV', 'WITHSCORES')[2] or 0) }
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'LIMIT', 0, ARGV[2])) do
  local change = redis.call('HGET', KEYS[1], name)
  if change then
    answer[#answer + 1] = name
    answer[#answer + 1] = change
  end
end
return answer
