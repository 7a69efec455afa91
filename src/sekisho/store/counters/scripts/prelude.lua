-- What all counter scripts share. How the keys are laid out and why: docs/why/counters.md
--
-- KEYS[1]            hash: data (id of this life of the store), run, load, loaded, booked, config, last, skew, c:<process>
-- KEYS[1]:<data>:    open      hash: call id -> record of an open call
--                    unbooked  hash: call id -> a settled call that no ledger read has shown yet
--                    budgets   set of the budgets that have counts
--                    b:...     hash of a budget: k (windows from there on are known), b (booked), s<start> spent,
--                              h<start> bounds held, e<start> estimates held
--                    l:...:z   calls of the last minute by time; :t their tokens and, in '#', the sum; :o open calls
-- Every script is given the process and the number of its connection first: what an older connection sent is refused.
--                    t:...     hash of a task that is capped, like a budget with one window; n: calls that it has made
local MINUTE = 60000000
local TASK_KEPT = 691200  -- seconds after its last call, eight days; then the ledger is asked again
local ENDED = 9007199254740991  -- position of a process that has ended: all of it is booked

local function position_in(booked, process)
  if not booked then return 0 end
  local _, stop = string.find(booked, '\n' .. process .. '=', 1, true)
  return stop and tonumber(string.match(booked, '^%d+', stop + 1)) or 0
end

-- A record of an open call: process, admitted_at, bound, estimate, tokens, who, cells {name, start, ...}, limits {name, ...}
local function free_limits(base, id, record, tokens)
  for _, name in ipairs(record[8]) do
    local key = base .. name
    redis.call('SREM', key .. ':o', id)
    local counted = redis.call('HGET', key .. ':t', id)
    if counted and tokens then
      redis.call('HSET', key .. ':t', id, tokens)
      redis.call('HINCRBY', key .. ':t', '#', tokens - tonumber(counted))
    end
  end
end

-- Drop the calls of a minute ago and earlier from a limit.
local function forget_old(key, at)
  local old = redis.call('ZRANGEBYSCORE', key .. ':z', '-inf', at - MINUTE, 'LIMIT', 0, 500)
  while #old > 0 do
    local sum = 0
    for _, tokens in ipairs(redis.call('HMGET', key .. ':t', unpack(old))) do
      sum = sum + (tonumber(tokens or 0))
    end
    if sum ~= 0 then redis.call('HINCRBY', key .. ':t', '#', -sum) end
    redis.call('HDEL', key .. ':t', unpack(old))
    redis.call('ZREM', key .. ':z', unpack(old))
    old = redis.call('ZRANGEBYSCORE', key .. ':z', '-inf', at - MINUTE, 'LIMIT', 0, 500)
  end
end
