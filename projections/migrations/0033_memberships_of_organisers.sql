-- How many elections somebody organises, and is invited to as a trustee.

alter table memberships add column organised bigint, add column invited bigint;

insert into memberships (user_id, organised, at)
select organiser, count(*), max(drafted_at) from elections group by organiser
on conflict (user_id) do update
set organised = excluded.organised, at = greatest(memberships.at, excluded.at);

insert into memberships (user_id, invited, at)
select user_id, count(invited_at), max(at) from invited_trustees group by user_id
on conflict (user_id) do update
set invited = excluded.invited, at = greatest(memberships.at, excluded.at);
