-- The replicated log. Entries are only ever inserted, and removed only above the commit index (a Raft truncation).

create table ledger_entry (
    index  bigint primary key check (index > 0),
    term   bigint not null,
    kind   text   not null,
    header bytea  not null,
    public bytea  not null
);
create index ledger_entry_term on ledger_entry (term, index);
create index ledger_entry_members on ledger_entry (index)
    where kind in ('Genesis', 'NodeAdded', 'NodeRemoved', 'NodeKeyRotated');

-- Private parts, sealed with AES-256-GCM under the cluster's data key: nonce, ciphertext of salt and bytes.
create table ledger_private (
    index  bigint primary key,
    sealed bytea not null
);

-- One row. `epoch` fences: a writer whose epoch is not this one has been replaced and must end.
create table ledger_state (
    one    boolean primary key default true check (one),
    epoch  bigint not null default 0,
    term   bigint not null default 0,
    vote   bigint not null default 0,
    commit bigint not null default 0
) with (fillfactor = 20);
insert into ledger_state default values;

-- What has been applied: one row, moved in the same transaction as everything derived from the entries.
create table ledger_applied (
    one   boolean primary key default true check (one),
    index bigint not null default 0
) with (fillfactor = 20);
insert into ledger_applied default values;

-- Complete tiles of the Merkle tree: 256 hashes of 32 bytes, each the root of 256^level leaves.
create table ledger_tile (
    level  smallint not null,
    number bigint   not null,
    hashes bytea    not null check (length(hashes) = 8192),
    primary key (level, number)
);

-- Checkpoints that a majority of the nodes signed.
create table ledger_checkpoint (
    size bigint primary key,
    note bytea not null
);

-- The largest tree this node has ever signed, and its root: it never signs anything that contradicts it.
create table ledger_signed (
    one  boolean primary key default true check (one),
    size bigint not null default 0,
    root bytea  not null default ''
) with (fillfactor = 20);
insert into ledger_signed default values;

create function ledger_refuse() returns trigger language plpgsql as $$
begin
    raise exception 'the ledger is append-only: % of % is refused', tg_op, tg_table_name using errcode = 'BL001';
end $$;

create function ledger_refuse_committed_delete() returns trigger language plpgsql as $$
begin
    if old.index <= (select commit from ledger_state) then
        raise exception 'entry % is committed and cannot be deleted', old.index using errcode = 'BL001';
    end if;
    return old;
end $$;

-- A private part may go only when a committed PrivateErased names it, or when its entry is truncated above commit.
create table ledger_erased (
    first bigint not null,
    last  bigint not null,
    kind  text   not null,
    by    bigint primary key references ledger_entry (index) deferrable initially deferred
);

create function ledger_refuse_private_delete() returns trigger language plpgsql as $$
begin
    if old.index <= (select commit from ledger_state)
       and not exists (select from ledger_erased as erased join ledger_entry as entry using (kind)
                       where entry.index = old.index and old.index between first and last) then
        raise exception 'the private part of entry % may not be deleted', old.index using errcode = 'BL001';
    end if;
    return old;
end $$;

create function ledger_refuse_lower_state() returns trigger language plpgsql as $$
begin
    if new.commit < old.commit or new.term < old.term or new.epoch < old.epoch then
        raise exception 'commit, term and epoch never fall' using errcode = 'BL001';
    end if;
    return new;
end $$;

create trigger ledger_state_never_falls before update on ledger_state
    for each row execute function ledger_refuse_lower_state();
create trigger ledger_state_no_delete before delete or truncate on ledger_state
    for each statement execute function ledger_refuse();
create trigger ledger_entry_no_update before update on ledger_entry
    for each statement execute function ledger_refuse();
create trigger ledger_entry_no_truncate before truncate on ledger_entry
    for each statement execute function ledger_refuse();
create trigger ledger_entry_no_delete before delete on ledger_entry
    for each row execute function ledger_refuse_committed_delete();
create trigger ledger_private_no_update before update on ledger_private
    for each statement execute function ledger_refuse();
create trigger ledger_private_no_truncate before truncate on ledger_private
    for each statement execute function ledger_refuse();
create trigger ledger_private_no_delete before delete on ledger_private
    for each row execute function ledger_refuse_private_delete();

-- One transaction a write, in one round trip: fence, term and vote, truncate, insert, and the commit index last.
create function ledger_write(
    p_epoch bigint, p_term bigint, p_vote bigint, p_commit bigint, p_truncate bigint, p_sync boolean,
    p_index bigint[], p_terms bigint[], p_kind text[], p_header bytea[], p_public bytea[],
    p_private_index bigint[], p_private bytea[]
) returns void language plpgsql as $$
begin
    if not p_sync then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    update ledger_state set term = p_term, vote = p_vote where epoch = p_epoch;
    if not found then
        raise exception 'fenced: another writer owns this ledger' using errcode = 'BL002';
    end if;
    if p_truncate > 0 then
        delete from ledger_private where index >= p_truncate;
        delete from ledger_entry where index >= p_truncate;
    end if;
    insert into ledger_entry (index, term, kind, header, public)
        select * from unnest(p_index, p_terms, p_kind, p_header, p_public);
    insert into ledger_private (index, sealed) select * from unnest(p_private_index, p_private);
    update ledger_state set commit = p_commit where commit < p_commit;
end $$;
