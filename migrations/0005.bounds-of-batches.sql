-- oldest service: 3

-- As 0004, for batches. A claim may be without a lease, and a record without a claim, so null is allowed in each.
alter table batches
  add constraint batches_max_attempts_is_1_to_1000000 check (max_attempts between 1 and 1000000) not valid,
  add constraint batches_lease_is_5_to_86400_seconds check (lease_seconds between 5 and 86400) not valid,
  add constraint batches_owner_is_at_most_1020_bytes check (octet_length(owner) <= 1020) not valid,
  add constraint batches_claim_key_is_1_to_255_bytes check (octet_length(claim_key) between 1 and 255) not valid,
  add constraint batches_token_is_at_most_128_bytes check (octet_length(token) <= 128) not valid;
