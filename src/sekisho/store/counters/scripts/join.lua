-- Count calls of the last minute, and open ones, in limits that do not know them: new ones, or all after a loss.
-- process, connection, number of limits, per limit: name, requests, tokens, parallel; per call: id, at, tokens,
-- '1' if it is open, number of limits it comes under, their numbers.
local state = redis.call('HMGET', KEYS[1], 'data', 'c:' .. ARGV[1])
if state[2] ~= ARGV[2] then return -1 end
local base = KEYS[1] .. ':' .. state[1] .. ':'
local limits = tonumber(ARGV[3])
local place = 4 + 4 * limits
while ARGV[place] do
  local id, at, tokens, is_open = ARGV[place], ARGV[place + 1], ARGV[place + 2], ARGV[place + 3] == '1'
  local packed = is_open and redis.call('HGET', base .. 'open', id)
  local record = packed and cmsgpack.unpack(packed)
  local names = {}
  if record then
    for _, name in ipairs(record[8]) do names[name] = true end
  end
  local under = tonumber(ARGV[place + 4])
  for one = 1, under do
    local limit = 4 + 4 * tonumber(ARGV[place + 4 + one])
    local key = base .. ARGV[limit]
    if (ARGV[limit + 1] ~= '' or ARGV[limit + 2] ~= '') and at ~= '' then
      redis.call('ZADD', key .. ':z', 'NX', at, id)
      redis.call('EXPIRE', key .. ':z', 3600)
      if ARGV[limit + 2] ~= '' and redis.call('HSETNX', key .. ':t', id, tokens) == 1 then
        redis.call('HINCRBY', key .. ':t', '#', tokens)
        redis.call('EXPIRE', key .. ':t', 3600)
      end
    end
    if record and ARGV[limit + 3] ~= '' then
      redis.call('SADD', key .. ':o', id)
      redis.call('EXPIRE', key .. ':o', 172800)
    end
    if record and not names[ARGV[limit]] then record[8][#record[8] + 1] = ARGV[limit] end
  end
  if record then redis.call('HSET', base .. 'open', id, cmsgpack.pack(record)) end
  place = place + 5 + under
end
return 1
