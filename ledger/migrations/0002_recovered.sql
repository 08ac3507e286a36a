-- A recovery from a single survivor changes the members too.

drop index ledger_entry_members;
create index ledger_entry_members on ledger_entry (index)
    where kind in ('Genesis', 'NodeAdded', 'NodeRemoved', 'NodeKeyRotated', 'ClusterRecovered');
