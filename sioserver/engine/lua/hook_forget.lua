-- A room is no longer looked after, unless somebody wanted it to be meanwhile.
-- KEYS: due. ARGV: room, its score when it was looked at.
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score and tonumber(score) == tonumber(ARGV[2]) then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return 1
