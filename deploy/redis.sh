#!/bin/sh
# Starts Redis with the password of the secret, which no command line shows. Nothing is kept on disk: what Redis holds
# (codes, rate limits, locks, logins) may be lost, and none of it may come back older than it was.
set -eu
umask 077
cat > /run/redis/redis.conf <<CONF
requirepass $(cat /run/secrets/redis_password)
port 6379
protected-mode yes
save ""
appendonly no
dir /run/redis
maxmemory 256mb
maxmemory-policy noeviction
CONF
exec redis-server /run/redis/redis.conf
