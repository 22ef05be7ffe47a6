-- What was decided in a room, unless that is known.
-- KEYS: decisions. ARGV: the version that is known, or "".
-- Answers {version} when it is that; else {version, the hash}, which holds the version too (as "v").
local version = redis.call('HGET', KEYS[1], 'v') or '0'
if version == ARGV[1] then
  return { version }
end
return { version, redis.call('HGETALL', KEYS[1]) }
