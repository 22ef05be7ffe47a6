-- Count a room that nothing is known of yet, unless there are so many.
-- KEYS: the rooms, a HyperLogLog. ARGV: room, or "" to ask only; most. Answers 1, or 0 when there are.
if redis.call('PFCOUNT', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
if ARGV[1] ~= '' then
  redis.call('PFADD', KEYS[1], ARGV[1])
end
return 1
