-- A stretch of the rooms that are listed, those first where somebody was last.
-- KEYS: seen, topics. ARGV: from which place, how many. Answers {name, topic or nil, ...}.
local from = tonumber(ARGV[1])
local found = redis.call('ZRANGE', KEYS[1], -1 - from - tonumber(ARGV[2]) + 1, -1 - from)
if #found == 0 then
  return {}
end
local topics, answer = redis.call('HMGET', KEYS[2], unpack(found)), {}
for i = #found, 1, -1 do
  answer[#answer + 1] = found[i]
  answer[#answer + 1] = topics[i]
end
return answer
