-- A user was here until then; a time before the one that is known changes nothing.
-- KEYS: seen. ARGV: time (ms since 1970), seconds for which it is kept.
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or 0) then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
return 1
