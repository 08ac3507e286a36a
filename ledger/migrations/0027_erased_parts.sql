-- An erasure may name many single parts, and finds those of a person without reading the whole log.

alter table ledger_erased drop constraint ledger_erased_pkey;
alter table ledger_erased add primary key (by, first);
create index ledger_entry_people on ledger_entry (index) where kind in ('UserRegistered', 'PasswordChanged');
create index ledger_entry_mail on ledger_entry (index) where kind in ('MailClaimed', 'MailReported', 'MailBounced');
