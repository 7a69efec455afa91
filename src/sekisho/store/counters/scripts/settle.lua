-- Turn what a call holds into what it spent. process, connection, call id, cost, tokens, position.
-- Answers 1; 0 for a call that is not open here.
local state = redis.call('HMGET', KEYS[1], 'data', 'booked')
if not state[1] then return 0 end
local base = KEYS[1] .. ':' .. state[1] .. ':'
local id, position = ARGV[3], tonumber(ARGV[6])
local packed = redis.call('HGET', base .. 'open', id)
if not packed then return 0 end
local record = cmsgpack.unpack(packed)
local process, cells = record[1], record[7]
for place = 1, #cells, 2 do
  local key, start = base .. cells[place], cells[place + 1]
  local budget = redis.call('HMGET', key, 'k', 'b')
  if budget[1] and tonumber(budget[1]) <= tonumber(start) then
    local booked = position_in(budget[2], process)
    if booked ~= ENDED then
      redis.call('HINCRBY', key, 'h' .. start, 0 - record[3])
      redis.call('HINCRBY', key, 'e' .. start, 0 - record[4])
    end
    if position > booked then redis.call('HINCRBY', key, 's' .. start, ARGV[4]) end
  end
end
free_limits(base, id, record, tonumber(ARGV[5]))
redis.call('HDEL', base .. 'open', id)
if position > position_in(state[2], process) then
  local settled = {process, record[2], position, tonumber(ARGV[4]), record[6], cells}
  redis.call('HSET', base .. 'unbooked', id, cmsgpack.pack(settled))
end
return 1
