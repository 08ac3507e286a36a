-- How far an election's board is published, and when more of it may be.

create table epochs (
    election    bytea not null,
    number      bigint,
    interval_us bigint,
    ballots     bigint,
    since_us    bigint,
    ended_at    bigint,
    casts       bigint,
    begun       boolean,
    last_name   bytea,
    at          bigint not null,
    primary key (election)
);
