-- Refuse a token until its end. KEYS: the revocation. ARGV: until (seconds since 1970), least time to keep it (ms).
-- Kept for a while beyond its end, because the clocks of those who ask need not agree with this one.
local until_ = redis.call('GET', KEYS[1])
if not until_ or tonumber(until_) < tonumber(ARGV[1]) then
  until_ = ARGV[1]
end
local time = redis.call('TIME')
local least = time[1] * 1000 + tonumber(ARGV[2])
local over = math.max(math.ceil(tonumber(until_) * 1000), least)
redis.call('SET', KEYS[1], until_, 'PXAT', string.format('%.0f', over))
return 1
