-- Put in what one consistent ledger read says.
-- process, connection, data, loads before, '1' if the read is later than all that another life of the store admitted,
-- '1' if this is the last part of the read, booked ("\nprocess=position..."), number of budgets, per budget: name, scope,
-- model, first start, end of the last window, number of windows, per window: start, end, sum; number of the ledger's open calls, per call: id,
-- process, admitted_at, bound, who.
-- Answers 'ok', 'lost' (read again, later), 'conflict' (another read came between), 'behind' (older than one before),
-- or {name, admitted_at, ...}: windows that must be told, nothing is changed.
local state = redis.call('HMGET', KEYS[1], 'data', 'load', 'loaded', 'booked')
local base = KEYS[1] .. ':' .. (state[1] or '') .. ':'
local function refuse(why)
  if redis.call('GET', base .. 'loader') == ARGV[1] then redis.call('DEL', base .. 'loader') end
  return why
end
if state[1] ~= ARGV[3] or not (state[3] or ARGV[5] == '1') then return refuse('lost') end
if (state[2] or '0') ~= ARGV[4] then return refuse('conflict') end
local booked = ARGV[7]
for process, position in string.gmatch(state[4] or '', '([^\n=]+)=(%d+)') do
  position = tonumber(position)
  local is_named = string.find(booked, '\n' .. process .. '=', 1, true)  -- long ended processes are no more
  if position_in(booked, process) < position and (is_named or position ~= ENDED) then return refuse('behind') end
end

local by_scope, by_name, all = {}, {}, {}
local place = 9
for _ = 1, tonumber(ARGV[8]) do
  local budget = {name = ARGV[place], model = ARGV[place + 2], cells = {}, windows = {}}
  budget.first, budget.last = tonumber(ARGV[place + 3]), tonumber(ARGV[place + 4])
  local scope, windows = ARGV[place + 1], tonumber(ARGV[place + 5])
  place = place + 6
  for _ = 1, windows do
    local start = ARGV[place]
    budget.windows[#budget.windows + 1] = {start, tonumber(start), tonumber(ARGV[place + 1])}
    local sum = tonumber(ARGV[place + 2])
    if sum > 0 then budget.cells[start] = {sum, 0, 0} end
    place = place + 3
  end
  by_scope[scope] = by_scope[scope] or {}
  table.insert(by_scope[scope], budget)
  by_name[budget.name] = budget
  all[#all + 1] = budget
end

local missing = {}
-- Add a call to the cells it belongs in; `cells` is what its record says, completed where the record says nothing.
local function add(who, admitted_at, cells, spent, bound, estimate)
  local starts, changed, at = {}, false, tonumber(admitted_at)
  for one = 1, #cells, 2 do starts[cells[one]] = cells[one + 1] end
  local model
  for word in string.gmatch(who, '[^%z]+') do
    if not model then
      model = word
    else
      for _, budget in ipairs(by_scope[word] or {}) do
        if (budget.model == '' or budget.model == model) and (starts[budget.name] or (at >= budget.first and at < budget.last)) then
          local start = starts[budget.name]
          if not start then
            for _, window in ipairs(budget.windows) do
              if window[2] <= at and at < window[3] then start = window[1] end
            end
            if start then
              cells[#cells + 1] = budget.name
              cells[#cells + 1] = start
              starts[budget.name] = start
              changed = true
            else
              missing[#missing + 1] = budget.name
              missing[#missing + 1] = admitted_at
            end
          end
          if start and tonumber(start) >= budget.first then
            local cell = budget.cells[start] or {0, 0, 0}
            budget.cells[start] = {cell[1] + spent, cell[2] + bound, cell[3] + estimate}
          end
        end
      end
    end
  end
  return changed
end

local unbooked, is_unbooked, booked_now = redis.call('HGETALL', base .. 'unbooked'), {}, {}
local dirty = {}
for one = 1, #unbooked, 2 do
  local call = cmsgpack.unpack(unbooked[one + 1])
  if call[3] > position_in(booked, call[1]) then
    is_unbooked[unbooked[one]] = true
    if add(call[5], call[2], call[6], call[4], 0, 0) then
      dirty[#dirty + 1] = {'unbooked', unbooked[one], cmsgpack.pack(call)}
    end
  else
    booked_now[#booked_now + 1] = unbooked[one]
  end
end
local open, is_open, ended = redis.call('HGETALL', base .. 'open'), {}, {}
for one = 1, #open, 2 do
  local id, call = open[one], cmsgpack.unpack(open[one + 1])
  is_open[id] = true
  if position_in(booked, call[1]) == ENDED then
    ended[#ended + 1] = {id, call}
  elseif add(call[6], call[2], call[7], 0, call[3], call[4]) then
    dirty[#dirty + 1] = {'open', id, cmsgpack.pack(call)}
  end
end
if not state[3] then
  for _ = 1, tonumber(ARGV[place]) do
    local id, bound = ARGV[place + 1], tonumber(ARGV[place + 4])
    if not is_open[id] and not is_unbooked[id] and position_in(booked, ARGV[place + 2]) ~= ENDED then
      local call = {ARGV[place + 2], ARGV[place + 3], bound, bound, 0, ARGV[place + 5], {}, {}}
      add(call[6], call[2], call[7], 0, bound, bound)
      dirty[#dirty + 1] = {'open', id, cmsgpack.pack(call)}
    end
    place = place + 5
  end
end
if #missing > 0 then return missing end

for _, budget in ipairs(all) do
  local key = base .. budget.name
  redis.call('DEL', key)
  redis.call('HSET', key, 'k', budget.first, 'b', booked)
  for start, cell in pairs(budget.cells) do
    redis.call('HSET', key, 's' .. start, cell[1], 'h' .. start, cell[2], 'e' .. start, cell[3])
  end
  redis.call('SADD', base .. 'budgets', budget.name)
end
for _, one in ipairs(dirty) do redis.call('HSET', base .. one[1], one[2], one[3]) end
if ARGV[6] ~= '1' then return 'ok' end

for _, id in ipairs(booked_now) do redis.call('HDEL', base .. 'unbooked', id) end
for _, one in ipairs(ended) do
  local id, call = one[1], one[2]
  for cell = 1, #call[7], 2 do
    local key, start = base .. call[7][cell], call[7][cell + 1]
    if not by_name[call[7][cell]] then  -- not in this read: until it is, the bound counts as spent
      local budget = redis.call('HMGET', key, 'k', 'b')
      if budget[1] and tonumber(budget[1]) <= tonumber(start) and position_in(budget[2], call[1]) ~= ENDED then
        redis.call('HINCRBY', key, 'h' .. start, 0 - call[3])
        redis.call('HINCRBY', key, 'e' .. start, 0 - call[4])
        redis.call('HINCRBY', key, 's' .. start, call[3])
      end
    end
  end
  free_limits(base, id, call, false)
  redis.call('HDEL', base .. 'open', id)
  redis.call('HDEL', KEYS[1], 'c:' .. call[1])
end
redis.call('HSET', KEYS[1], 'load', tonumber(ARGV[4]) + 1, 'loaded', 1, 'booked', booked)
redis.call('SET', base .. 'loader', 'rest', 'PX', 5000)
return 'ok'
