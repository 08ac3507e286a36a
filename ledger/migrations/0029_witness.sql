-- What outsiders who watch the log have cosigned: of each witness the line under the largest checkpoint it has sent.
create table ledger_witness (
    key  text   primary key,
    size bigint not null,
    line text   not null
);
