-- The views of the log. Every row keeps in `at` the entry that changed it last. Columns are those of voting/tables.py,
-- which a test compares; nothing here is a source of truth: all of it can be folded from the log again.

create table commands (
    command bytea not null,
    at      bigint not null,
    primary key (command)
);

create table users (
    user_id    bytea not null,
    identity_n bytea,
    identity   bytea,
    at         bigint not null,
    primary key (user_id)
);

create table roles (
    user_id bytea not null,
    role    text not null,
    at      bigint not null,
    primary key (user_id, role)
);

create table elections (
    election      bytea not null,
    organiser     bytea,
    status        text,
    draft         bytea,
    eid           bytea,
    definition    bytea,
    opens_us      bigint,
    closes_us     bigint,
    trustee_count bigint,
    roll_size     bigint,
    roll_root     bytea,
    issued        bigint,
    cast_count    bigint,
    unused        bigint,
    closed_count  bigint,
    chunks        bigint,
    published     bigint,
    seed_chunks   bigint,
    drafted_at    bigint,
    opened_at     bigint,
    closed_at     bigint,
    published_at  bigint,
    erased_at     bigint,
    tally_at      bigint,
    tally         bytea,
    tally_digest  bytea,
    disputed      boolean,
    at            bigint not null,
    primary key (election)
) with (fillfactor = 50);

create table roll (
    election bytea not null,
    voter    bytea not null,
    weight   bigint,
    added_at bigint,
    at       bigint not null,
    primary key (election, voter)
);

create table trustees (
    election    bytea not null,
    number      bigint not null,
    name        text,
    n           bytea,
    proof       bytea,
    p           bytea,
    q           bytea,
    released_at bigint,
    at          bigint not null,
    primary key (election, number)
);

create table credentials (
    eid       bytea not null,
    voter     bytea not null,
    blinded   bytea,
    issued_at bigint,
    at        bigint not null,
    primary key (eid, voter)
);

create table board (
    eid          bytea not null,
    name         bytea not null,
    position     bigint,
    published_at bigint,
    at           bigint not null,
    primary key (eid, name)
);

create table spent (
    eid bytea not null,
    bid bytea not null,
    at  bigint not null,
    primary key (eid, bid)
);

create table attestations (
    election bytea not null,
    node     bigint not null,
    digest   bytea,
    at       bigint not null,
    primary key (election, node)
);

create table unused_claims (
    eid        bytea not null,
    bid        bytea not null,
    claimed_at bigint,
    at         bigint not null,
    primary key (eid, bid)
);

create table accounts (
    tag         bytea not null,
    user_id     bytea,
    address_at  bigint,
    password_at bigint,
    at          bigint not null,
    primary key (tag)
);

create table roll_tags (
    election bytea not null,
    tag      bytea not null,
    voter    bytea,
    at       bigint not null,
    primary key (election, tag)
);

create table casts (
    eid     bytea not null,
    bid     bytea not null,
    name    bytea,
    cast_at bigint,
    at      bigint not null,
    primary key (eid, bid)
);

create index elections_eid on elections (eid);
create index elections_due on elections (closes_us) where status = 'open' and closes_us > 0;
create index accounts_user on accounts (user_id);
create index casts_at on casts (cast_at);
create index casts_name on casts (name);
create index board_order on board (eid, published_at, position);
create index roll_voter on roll (voter);
create index credentials_voter on credentials (voter);
