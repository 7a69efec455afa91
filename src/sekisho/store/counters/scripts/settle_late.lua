-- Count a settled call that was never open here: it was admitted without the store, or by a life of it that was lost.
-- process, connection, call id, cost, position, admitted_at, who, number of budgets; per budget: name, start.
local state = redis.call('HMGET', KEYS[1], 'data', 'booked')
if not state[1] then return 0 end
local base = KEYS[1] .. ':' .. state[1] .. ':'
local id, position = ARGV[3], tonumber(ARGV[5])
if redis.call('HEXISTS', base .. 'open', id) == 1 or redis.call('HEXISTS', base .. 'unbooked', id) == 1 then return 0 end
if position <= position_in(state[2], ARGV[1]) then return 0 end
local cells = {}
for number = 0, tonumber(ARGV[8]) - 1 do
  local name, start = ARGV[9 + 2 * number], ARGV[10 + 2 * number]
  cells[#cells + 1] = name
  cells[#cells + 1] = start
  local budget = redis.call('HMGET', base .. name, 'k', 'b')
  if budget[1] and tonumber(budget[1]) <= tonumber(start) and position > position_in(budget[2], ARGV[1]) then
    redis.call('HINCRBY', base .. name, 's' .. start, ARGV[4])
  end
end
local settled = {ARGV[1], ARGV[6], position, tonumber(ARGV[4]), ARGV[7], cells}
redis.call('HSET', base .. 'unbooked', id, cmsgpack.pack(settled))
return 1
