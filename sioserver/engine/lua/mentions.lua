-- Read a user's mentions.
-- KEYS: the user's mentions, what they are. ARGV: the number behind which they are wanted.
-- Answers number, "<position> <room>", the mention, number, ...
local found = {}
local listed = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES')
for i = 1, #listed, 2 do
  local what = redis.call('HGET', KEYS[2], listed[i])
  if what then
    found[#found + 1] = listed[i + 1]
    found[#found + 1] = listed[i]
    found[#found + 1] = what
  end
end
return found
