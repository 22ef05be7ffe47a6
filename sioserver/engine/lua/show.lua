-- Entries of a room's log as they are now; part of the scripts that read them. A message that was edited or deleted is no longer
-- in the stream, but in its fold; of an edit the stream has no body.
local function key_of(offset)
  return string.format('%.0f', offset)
end

local function is_message(data)
  local kind = string.byte(data)
  return kind == 149 or kind == 151
end

-- A fold: "edited deleted number at " and the message; that is empty as long as it is in the stream.
local function read_fold(fold)
  return string.match(fold, '^(%d+) (%d+) (%d+) (-?%d+) (.*)$')
end

-- How long a packed message is without its body, which comes last.
local function before_body(data)
  return cmsgpack.unpack_limit(data, string.byte(data) - 145, 1)
end

-- Show [from, to] of a log in `found`: offset, message or operation, offset, ...; and beside each in `states`
-- {number, edited, deleted, reactions}, packed. `given`: the messages whose body was shown with an edit, which is done once;
-- nil: operations are not shown.
local function show_folded(log, folds, from, to, found, states, given)
  if from > to then
    return
  end
  local stream, names = {}, {}
  for _, entry in ipairs(redis.call('XRANGE', log, key_of(from) .. '-0', key_of(to) .. '-0')) do
    stream[string.sub(entry[1], 1, -3)] = entry[2]
  end
  for offset = from, to do
    local name = key_of(offset)
    if given or not (stream[name] and stream[name][8]) then
      names[#names + 1] = name
      names[#names + 1] = name .. 'r'
    end
  end
  local known = names[1] and redis.call('HMGET', folds, unpack(names))
  for n = 1, #names, 2 do
    local offset, entry, fold = names[n], stream[names[n]], known[n]
    local data, number, edited, deleted = entry and entry[4] or '', entry and entry[6] or offset, 0, 0
    if fold then
      local _, kept
      edited, deleted, number, _, kept = read_fold(fold)
      data = kept ~= '' and kept or data
    elseif entry and entry[10] == 'edit' and not given[entry[8]] then
      local target = entry[8]
      given[target] = true
      local _, gone, _, _, kept = read_fold(redis.call('HGET', folds, target) or '0 1 0 0 ')
      if gone == '0' and kept ~= '' then
        data = '\154' .. string.sub(data, 2) .. string.sub(kept, before_body(kept) + 1)
      end
    end
    if fold or entry then
      found[#found + 1] = tonumber(offset)
      found[#found + 1] = data
      states[#states + 1] = '\148' .. cmsgpack.pack(tonumber(number) or tonumber(offset), tonumber(edited), tonumber(deleted))
        .. (known[n + 1] or '\144')
    end
  end
end

