-- Pass on to copies how often what they hold has broken a worker.
-- ARGV: how long to keep (ms); for each copy start field, count, owners.
for i = 2, #ARGV, 3 do redis.call('HSET', key, ARGV[i], ARGV[i + 1] .. ' 0', beginners(ARGV[i]), ARGV[i + 2]) end
bounded(ARGV[1])
return 1
