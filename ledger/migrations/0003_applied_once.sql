-- Moves the position of what is applied. Whoever starts from where it no longer is was overtaken and must end: its
-- entries are in the tables already.
create function ledger_apply(p_from bigint, p_to bigint) returns void language plpgsql as $$
begin
    update ledger_applied set index = p_to where index = p_from;
    if not found then
        raise exception 'overtaken: another process applied what follows entry %', p_from using errcode = 'BL003';
    end if;
end $$;
