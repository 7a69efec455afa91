-- Put in what the ledger says of a task, unless it is known. process, connection, name, spent, calls.
-- Answers 1; -1 not greeted.
local state = redis.call('HMGET', KEYS[1], 'data', 'c:' .. ARGV[1])
if state[2] ~= ARGV[2] then return -1 end
local key = KEYS[1] .. ':' .. state[1] .. ':' .. ARGV[3]
if redis.call('HEXISTS', key, 'k') == 0 then
  redis.call('HSET', key, 'k', 0, 's0', ARGV[4], 'n', ARGV[5])
  redis.call('EXPIRE', key, TASK_KEPT)
end
return 1
