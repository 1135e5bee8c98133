-- oldest service: 3
-- transaction: none

-- The constraints of 0003 hold for what was there before them.
alter table barriers validate constraint barriers_callback_token_names_its_lease;
alter table batches validate constraint batches_token_names_its_grant;
