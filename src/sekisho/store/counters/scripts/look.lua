-- How much of limits is in use. process, connection, at (empty: the server's own time); per limit: name.
-- Answers calls and tokens of the last minute, and calls under way, of each.
local state = redis.call('HMGET', KEYS[1], 'data', 'skew', 'last')
local found = {}
if not state[1] then return found end
local at = tonumber(ARGV[3])
if not at then
  local time = redis.call('TIME')
  at = math.max(time[1] * 1000000 + time[2] + (state[2] or 0), tonumber(state[3] or 0))
end
for place = 4, #ARGV do
  local key = KEYS[1] .. ':' .. state[1] .. ':' .. ARGV[place]
  forget_old(key, at)
  found[#found + 1] = redis.call('ZCARD', key .. ':z')
  found[#found + 1] = tonumber(redis.call('HGET', key .. ':t', '#') or 0)
  found[#found + 1] = redis.call('SCARD', key .. ':o')
end
return found
