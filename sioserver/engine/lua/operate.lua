-- with: show
-- Do something to a message: number, store and announce an entry, and fold it into the message, in one step.
-- KEYS: meta, log, folds, done, ids, place of this call. ARGV: kind, offset of the message or "", its id or "", who does it: id, name; at (ms),
-- 1 if only whoever posted it may or "", the new body or the emoji, 1 if the reaction is to be there or "", most reactions, most
-- emoji, newest entries that are searched for an id, history_age (ms), PUBLISH or SPUBLISH, deadline (ms of this server's
-- clock), how long this call is known (ms).
-- Answers {epoch, offset, 1 if there was nothing to do or 2 if this call had been made before, offset of the message, its id, messages
-- up to here, users who react so}, or {"", why not}.
local kind, wanted, id, author, name, at = unpack(ARGV, 1, 6)
local meta = redis.call('HMGET', KEYS[1], 'e', 's', 'o', 'f', 'p', 'q')
local epoch, top, ops = meta[1], tonumber(meta[2] or 0), tonumber(meta[3] or 0)

local before = redis.call('GET', KEYS[6])
if before then
  local e, s, t, i = string.match(before, '^(%w+) (%d+) (%d+) (.*)$')
  if e == epoch and tonumber(s) <= top or e == meta[5] and tonumber(s) <= tonumber(meta[6]) then
    return {epoch, tonumber(s), 2, tonumber(t), i, 0, 0}
  end
end
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) > tonumber(ARGV[15]) then
  return {'', 'late'}
end

local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
if top == 0 or not oldest then
  return {'', 'not_found'}
end
local first = ops > 0 and tonumber(meta[4]) or tonumber(string.sub(oldest[1], 1, -3))

-- The newest messages by their ids. Kept for a while, because whoever names one by its id will do so again: then only
-- what is new has to be read. Of each id the two newest are known, which is enough to tell that there are two.
local function find(id)
  local low = math.max(first, top - tonumber(ARGV[12]) + 1)
  local known = redis.call('HMGET', KEYS[5], 'epoch', 'upto')
  local upto = known[1] == epoch and tonumber(known[2])
  if not upto or upto > top or upto < low - 1 or redis.call('HLEN', KEYS[5]) > 4 * tonumber(ARGV[12]) then
    redis.call('DEL', KEYS[5])
    upto = low - 1
  end
  for from = upto + 1, top, 100 do
    local lot, news = {}, {}
    show_folded(KEYS[2], KEYS[3], from, math.min(from + 99, top), lot, {}, nil)
    for n = 1, #lot, 2 do
      if is_message(lot[n + 1]) then
        local _, _, one = pcall(cmsgpack.unpack_limit, lot[n + 1], 1, 1)
        local field = 'id ' .. tostring(one)
        local older = news[field] or redis.call('HGET', KEYS[5], field) or ''
        news[field] = string.match(older, '%d*$') .. ' ' .. key_of(lot[n])
      end
    end
    for field, offsets in pairs(news) do
      redis.call('HSET', KEYS[5], field, offsets)
    end
  end
  redis.call('HSET', KEYS[5], 'epoch', epoch, 'upto', key_of(top))
  redis.call('PEXPIRE', KEYS[5], 60000)
  local older, newer = string.match(redis.call('HGET', KEYS[5], 'id ' .. id) or '', '^(%d*) (%d+)$')
  if not newer or tonumber(newer) < low then
    return nil
  end
  return newer, older ~= '' and tonumber(older) >= low
end

local target, twice = wanted, false
if target == '' then
  target, twice = find(id)
end
if twice then
  return {'', 'ambiguous'}
elseif not target or tonumber(target) < first or tonumber(target) > top then
  return {'', 'not_found'}
end
local entry = redis.call('XRANGE', KEYS[2], target .. '-0', target .. '-0')[1]
local folds = redis.call('HMGET', KEYS[3], target, target .. 'r')
local edited, deleted, number, posted, kept = '0', '0', target, '0', ''
if folds[1] then
  edited, deleted, number, posted, kept = read_fold(folds[1])
elseif entry then
  number, posted = entry[2][6] or target, entry[2][2]
end
local data = kept ~= '' and kept or entry and entry[2][4] or ''
if not is_message(data) then
  return {'', 'not_found'}
end
local _, its_id, its_author = cmsgpack.unpack_limit(data, 2, 1)
if id ~= '' and id ~= its_id then
  return {'', 'not_found'}
elseif ARGV[7] == '1' and author ~= its_author then
  return {'', 'forbidden'}
elseif deleted ~= '0' and kind ~= 'delete' then
  return {'', 'not_found'}
end

-- What becomes of it; nil: it is so already.
local head = before_body(data)
local reactions, count, body = folds[2], 0, nil
if kind == 'edit' then
  body = ARGV[8]
  if string.sub(data, head + 1) ~= body then
    edited, kept = at, string.sub(data, 1, head) .. body
  else
    kept = nil
  end
elseif kind == 'delete' then
  if deleted == '0' then
    -- What it answered may stay, but not whom it mentioned.
    local answers = string.byte(data) == 151 and cmsgpack.unpack_limit(data, 5, 1)
    kept = string.sub(data, 1, answers or head) .. (answers and '\144' or '') .. '\192'
    edited, deleted, reactions = '0', at, false
  else
    kept = nil
  end
else
  -- {emoji, users, emoji, users, ...}, in the order in which they came.
  local all, pairs_of, place, there = reactions and cmsgpack.unpack(reactions) or {}, 0, nil, nil
  for n = 1, #all, 2 do
    pairs_of = pairs_of + #all[n + 1]
    if all[n] == ARGV[8] then
      place = n + 1
      for i, user in ipairs(all[place]) do
        there = user == author and i or there
      end
    end
  end
  if (ARGV[9] == '1') == (there ~= nil) then
    kept = nil
  elseif there then
    table.remove(all[place], there)
    count = #all[place]
    if count == 0 then
      table.remove(all, place)
      table.remove(all, place - 1)
    end
  elseif pairs_of >= tonumber(ARGV[10]) or not place and #all >= 2 * tonumber(ARGV[11]) then
    return {'', 'too_many'}
  elseif place then
    table.insert(all[place], author)
    count = #all[place]
  else
    all[#all + 1] = ARGV[8]
    all[#all + 1] = { author }
    count = 1
  end
  reactions = #all > 0 and cmsgpack.pack(all)
end
local newest = redis.call('ZSCORE', KEYS[4], target)
if not kept then
  return {epoch, tonumber(newest or target), 1, tonumber(target), its_id, 0, 0}
end

local offset, age = key_of(top + 1), tonumber(ARGV[13])
local emoji = kind == 'reaction' and ARGV[8] or ''
local items = cmsgpack.pack(its_id, author, name, tonumber(at), kind, tonumber(target), emoji, ARGV[9] == '1', count)
local upto = key_of(top - ops)
-- In the stream it says which body is shown with it, without having one.
redis.call('XADD', KEYS[2], offset .. '-0', 'a', at, 'd', '\153' .. items, 'n', upto, 't', target, 'k', kind)
redis.call('HSET', KEYS[3], target, edited .. ' ' .. deleted .. ' ' .. number .. ' ' .. posted .. ' ' .. kept)
if reactions and kind == 'reaction' then
  redis.call('HSET', KEYS[3], target .. 'r', reactions)
elseif not reactions then
  redis.call('HDEL', KEYS[3], target .. 'r')
end
redis.call('ZADD', KEYS[4], offset, target)
if kept ~= '' and entry then
  redis.call('XDEL', KEYS[2], target .. '-0')
end
for n = 2, 4 do
  if age > 0 then
    redis.call('PEXPIRE', KEYS[n], age)
  else
    redis.call('PERSIST', KEYS[n])
  end
end
redis.call('SET', KEYS[6], epoch .. ' ' .. offset .. ' ' .. target .. ' ' .. its_id, 'PX', ARGV[16])
-- As in publish.lua: without this nothing has happened.
redis.call('HSET', KEYS[1], 's', offset, 'o', key_of(ops + 1), 'f', key_of(first))
local told = (body and '\154' or '\153') .. items .. (body or '')
redis.call(ARGV[14], string.sub(KEYS[1], 1, -6), 'o' .. offset .. ':' .. epoch .. ':' .. upto .. ':' .. told)
return {epoch, top + 1, 0, tonumber(target), its_id, top - ops, count}
