-- Ask whether to read the ledger. process, connection, '1' if it is wanted at once.
-- Answers {data, loads so far, 1 if the data was ever loaded, 1 if this process is to do it}; {-1} not greeted.
local state = redis.call('HMGET', KEYS[1], 'data', 'c:' .. ARGV[1], 'load', 'loaded')
if state[2] ~= ARGV[2] then return {-1} end
local lock = KEYS[1] .. ':' .. state[1] .. ':loader'
local holder = redis.call('GET', lock)
local may = not holder or holder == ARGV[1] or (holder == 'rest' and ARGV[3] == '1')
if may then redis.call('SET', lock, ARGV[1], 'PX', 4000) end
return {state[1], tonumber(state[3] or 0), tonumber(state[4] or 0), may and 1 or 0}
