-- A role that was taken away keeps its row: since which entry it is not held any more.
alter table roles add column withdrawn_at bigint;
