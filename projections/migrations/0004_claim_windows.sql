-- Until when unused credentials may be claimed, for elections that set an end to it.

create table claim_windows (
    eid      bytea not null,
    until_us bigint,
    at       bigint not null,
    primary key (eid)
);
