-- Hold everything a call needs, or nothing.
-- process, connection, call id, admitted_at, at (empty: the server's own time), bound, estimate, tokens, '1' if steps are heeded
-- ('2' and '3': the same as '0' and '1', but nothing is held in any case),
-- number of budgets, number of limits, who; per budget: name, start, ceiling, '1' if hard, of how much spent on a step is
-- due (empty: none); per limit: name, requests,
-- tokens, parallel (empty: no limit of that sort).
-- A call of a task that is capped: the last of the budgets is the task's (due: 'new' for one that cannot have been
-- counted), and behind the limits stands how many calls it may make (empty: any number).
-- Answers {4} the task has made its calls; {0, least room or false, at} admitted; {1, room or false (not loaded) per hard budget}; {2, number of the
-- limit, kind, wait, ...}; {3, number of the budget, spent, ...} steps that are due; {-1} not greeted.
local state = redis.call('HMGET', KEYS[1], 'data', 'c:' .. ARGV[1], 'skew', 'last')
if state[2] ~= ARGV[2] then return {-1} end
local base = KEYS[1] .. ':' .. state[1] .. ':'
local id, bound, tokens = ARGV[3], tonumber(ARGV[6]), tonumber(ARGV[8])
local budgets, limits = tonumber(ARGV[10]), tonumber(ARGV[11])

local heeds_steps = ARGV[9] == '1' or ARGV[9] == '3'
local rooms, known, due, least, fits = {1}, {}, {3}, false, true
for number = 0, budgets - 1 do
  local place = 13 + 5 * number
  local start = ARGV[place + 1]
  local is_hard = ARGV[place + 3] == '1'
  local cell = redis.call('HMGET', base .. ARGV[place], 'k', 's' .. start, 'h' .. start)
  if not cell[1] and ARGV[place + 4] == 'new' then
    redis.call('HSET', base .. ARGV[place], 'k', 0)
    redis.call('EXPIRE', base .. ARGV[place], TASK_KEPT)
    cell[1] = 0
  end
  known[number] = cell[1] and tonumber(cell[1]) <= tonumber(start)
  local step = heeds_steps and known[number] and tonumber(ARGV[place + 4])
  if step and tonumber(cell[2] or 0) >= step then
    due[#due + 1] = number
    due[#due + 1] = tonumber(cell[2] or 0)
  end
  if is_hard then
    if known[number] then
      local room = tonumber(ARGV[place + 2]) - (cell[2] or 0) - (cell[3] or 0)
      rooms[#rooms + 1] = room
      if room < bound then fits = false end
      if not least or room < least then least = room end
    else
      rooms[#rooms + 1] = false
      fits = false
    end
  end
end
if #due > 1 then return due end
if not fits then return rooms end
local first_limit = 13 + 5 * budgets
local most_calls = ARGV[first_limit + 4 * limits]
local task = most_calls and base .. ARGV[13 + 5 * (budgets - 1)]
if most_calls and most_calls ~= '' then
  if tonumber(redis.call('HGET', task, 'n') or 0) >= tonumber(most_calls) then return {4} end
end

local at = tonumber(ARGV[5])
if not at then
  local time = redis.call('TIME')
  at = time[1] * 1000000 + time[2] + (state[3] or 0)
  local last = tonumber(state[4] or 0)
  if at < last then  -- the server's clock was set back: go on from where it was
    redis.call('HSET', KEYS[1], 'skew', (state[3] or 0) + last - at)
    at = last
  elseif at > last + 1000000 then
    redis.call('HSET', KEYS[1], 'last', at)
  end
end
local waits = {2}
for number = 0, limits - 1 do
  local place = first_limit + 4 * number
  local key = base .. ARGV[place]
  local requests, volume, parallel = tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2]), tonumber(ARGV[place + 3])
  local function waits_for(kind, wait)
    waits[#waits + 1] = number
    waits[#waits + 1] = kind
    waits[#waits + 1] = wait
  end
  if requests or volume then forget_old(key, at) end
  if requests then
    local count = redis.call('ZCARD', key .. ':z')
    if requests == 0 then
      waits_for(0, MINUTE)
    elseif count >= requests then
      local last = redis.call('ZRANGE', key .. ':z', count - requests, count - requests, 'WITHSCORES')
      waits_for(0, tonumber(last[2]) + MINUTE - at)
    end
  end
  if volume then
    local excess = tonumber(redis.call('HGET', key .. ':t', '#') or 0) + math.min(tokens, volume) - volume
    if volume == 0 then
      waits_for(1, MINUTE)
    elseif excess > 0 then
      local from, wait = 0, MINUTE
      repeat
        local oldest = redis.call('ZRANGE', key .. ':z', from, from + 99, 'WITHSCORES')
        for one = 1, #oldest, 2 do
          excess = excess - (redis.call('HGET', key .. ':t', oldest[one]) or 0)
          wait = tonumber(oldest[one + 1]) + MINUTE - at
          if excess <= 0 then break end
        end
        from = from + 100
      until excess <= 0 or #oldest == 0
      waits_for(1, wait)
    end
  end
  if parallel and redis.call('SCARD', key .. ':o') >= parallel then waits_for(2, 1000000) end
end
if #waits > 1 then return waits end
if ARGV[9] >= '2' then return {0, least and least - bound, at} end

local cells, counted_in = {}, {}
for number = 0, budgets - 1 do
  local place = 13 + 5 * number
  cells[#cells + 1] = ARGV[place]
  cells[#cells + 1] = ARGV[place + 1]
  if known[number] then
    redis.call('HINCRBY', base .. ARGV[place], 'h' .. ARGV[place + 1], ARGV[6])
    redis.call('HINCRBY', base .. ARGV[place], 'e' .. ARGV[place + 1], ARGV[7])
  end
end
for number = 0, limits - 1 do
  local place = first_limit + 4 * number
  local key = base .. ARGV[place]
  counted_in[#counted_in + 1] = ARGV[place]
  if ARGV[place + 1] ~= '' or ARGV[place + 2] ~= '' then
    redis.call('ZADD', key .. ':z', at, id)
    redis.call('EXPIRE', key .. ':z', 3600)
  end
  if ARGV[place + 2] ~= '' then
    redis.call('HSET', key .. ':t', id, tokens)
    redis.call('HINCRBY', key .. ':t', '#', tokens)
    redis.call('EXPIRE', key .. ':t', 3600)
  end
  if ARGV[place + 3] ~= '' then
    redis.call('SADD', key .. ':o', id)
    redis.call('EXPIRE', key .. ':o', 172800)
  end
end
if task then
  redis.call('HINCRBY', task, 'n', 1)
  redis.call('EXPIRE', task, TASK_KEPT)
end
local record = {ARGV[1], ARGV[4], bound, tonumber(ARGV[7]), tokens, ARGV[12], cells, counted_in}
redis.call('HSET', base .. 'open', id, cmsgpack.pack(record))
return {0, least and least - bound, at}
