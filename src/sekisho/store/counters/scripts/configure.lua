-- Forget the counts of budgets that are no more in force. process, connection, epoch of the snapshot, names in force.
-- An older snapshot than one before changes nothing. Answers -1 when not greeted.
local state = redis.call('HMGET', KEYS[1], 'data', 'c:' .. ARGV[1], 'config')
if state[2] ~= ARGV[2] then return -1 end
if tonumber(ARGV[3]) < tonumber(state[3] or 0) then return 0 end
local base = KEYS[1] .. ':' .. state[1] .. ':'
redis.call('HSET', KEYS[1], 'config', ARGV[3])
local in_force = {}
for place = 4, #ARGV do in_force[ARGV[place]] = true end
for _, name in ipairs(redis.call('SMEMBERS', base .. 'budgets')) do
  if not in_force[name] then
    redis.call('DEL', base .. name)
    redis.call('SREM', base .. 'budgets', name)
  end
end
return 1
