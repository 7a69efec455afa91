-- What budgets have counted. process, connection; per budget: name, start. Answers k, spent, bounds, estimates of each.
local data = redis.call('HGET', KEYS[1], 'data')
local found = {}
if not data then return found end
for place = 3, #ARGV, 2 do
  local start = ARGV[place + 1]
  local budget = redis.call('HMGET', KEYS[1] .. ':' .. data .. ':' .. ARGV[place], 'k', 's' .. start, 'h' .. start, 'e' .. start)
  for _, value in ipairs(budget) do found[#found + 1] = value end
end
return found
