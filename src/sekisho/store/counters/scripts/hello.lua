-- A new connection: process, its number, the server's run, an id for a new life of the data. Answers the data's id.
-- Data that another run of the server wrote may be old or short of its last writes: it is not believed.
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[3] then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'run', ARGV[3], 'data', ARGV[4])
end
redis.call('HSET', KEYS[1], 'c:' .. ARGV[1], ARGV[2])
return redis.call('HGET', KEYS[1], 'data')
