-- Trustees by invitation: who is invited and under which key, which keys were ever a trustee's, and what was released.
-- `trustees` has those of a definition; released factors stand under their own product.

create table invited_trustees (
    election    bytea not null,
    user_id     bytea not null,
    name        text,
    n           bytea,
    number      bigint,
    invited_at  bigint,
    enrolled_at bigint,
    at          bigint not null,
    primary key (election, user_id)
);

create table trustee_keys (
    key      bytea not null,
    election bytea,
    user_id  bytea,
    at       bigint not null,
    primary key (key)
);

create table released_keys (
    election    bytea not null,
    number      bigint not null,
    n           bytea not null,
    p           bytea,
    q           bytea,
    released_at bigint,
    at          bigint not null,
    primary key (election, number, n)
);

insert into released_keys (election, number, n, p, q, released_at, at)
select election, number, n, p, q, released_at, at from trustees where released_at is not null;

update trustees set at = elections.opened_at from elections
where elections.election = trustees.election and elections.opened_at is not null;
alter table trustees drop column proof, drop column p, drop column q, drop column released_at;
alter table elections add column invited_count bigint, add column enrolments bigint, add column trustee_changes bigint;
