-- Whoever was invited as a trustee can be erased without reading the whole log, too.

create index ledger_entry_invited on ledger_entry (index) where kind = 'TrusteeInvited';
