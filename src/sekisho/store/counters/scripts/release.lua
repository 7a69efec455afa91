-- Give back all that a call holds. process, connection, call id.
local data = redis.call('HGET', KEYS[1], 'data')
if not data then return 0 end
local base = KEYS[1] .. ':' .. data .. ':'
local packed = redis.call('HGET', base .. 'open', ARGV[3])
if not packed then return 0 end
local record = cmsgpack.unpack(packed)
local cells = record[7]
for place = 1, #cells, 2 do
  local key, start = base .. cells[place], cells[place + 1]
  local budget = redis.call('HMGET', key, 'k', 'b')
  if budget[1] and tonumber(budget[1]) <= tonumber(start) and position_in(budget[2], record[1]) ~= ENDED then
    redis.call('HINCRBY', key, 'h' .. start, 0 - record[3])
    redis.call('HINCRBY', key, 'e' .. start, 0 - record[4])
  end
end
free_limits(base, ARGV[3], record, 0)
redis.call('HDEL', base .. 'open', ARGV[3])
return 1
