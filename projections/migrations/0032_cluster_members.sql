-- The newest membership entry's payload: whose signatures the leader takes for those of nodes.

create table cluster_members (
    which  text not null,
    listed bytea,
    at     bigint not null,
    primary key (which)
);

insert into cluster_members (which, listed, at)
select 'in force', public, index from ledger_entry
where kind in ('Genesis', 'NodeAdded', 'NodeRemoved', 'NodeKeyRotated', 'ClusterRecovered')
  and index <= (select index from ledger_applied)
order by index desc limit 1;
