-- Identity keys over time, the start of an election that was opened ahead of its time, and mail to the roll.

create table identity_keys (
    user_id     bytea not null,
    identity    bytea not null,
    n           bytea,
    enrolled_at bigint,
    at          bigint not null,
    primary key (user_id, identity)
);

alter table elections add column started_at bigint;

create table mail_orders (
    election      bytea not null,
    kind          text not null,
    round         bigint,
    ordered_us    bigint,
    claimed_round bigint,
    claimed       bigint,
    at            bigint not null,
    primary key (election, kind)
);

create table mail_claims (
    claim      bytea not null,
    election   bytea,
    kind       text,
    claimed_us bigint,
    settled    boolean,
    at         bigint not null,
    primary key (claim)
);

create table mail (
    election bytea not null,
    kind     text not null,
    voter    bytea not null,
    claim    bytea,
    round    bigint,
    attempt  bigint,
    retry_us bigint,
    state    text,
    reason   text,
    at       bigint not null,
    primary key (election, kind, voter)
);

create index elections_scheduled on elections (opens_us) where status = 'scheduled';
create index mail_claims_unsettled on mail_claims (claimed_us) where not settled;
create index mail_deferred on mail (retry_us) where state = 'deferred';
create index mail_claim on mail (claim);
