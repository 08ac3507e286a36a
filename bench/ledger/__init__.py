"""The replicated log alone: durable appends of 1 KiB on three local nodes, beside etcd on the same disk."""
