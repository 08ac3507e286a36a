-- On how many rolls somebody is.

create table memberships (
    user_id bytea not null,
    rolls   bigint,
    at      bigint not null,
    primary key (user_id)
);
insert into memberships (user_id, rolls, at) select voter, count(*), max(added_at) from roll group by voter;
