-- Take everything for lost: every process is greeted anew, and the ledger is read. process, connection.
redis.call('DEL', KEYS[1])
return 1
