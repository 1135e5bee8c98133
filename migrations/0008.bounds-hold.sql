-- oldest service: 3
-- transaction: none

-- The constraints of 0004 and 0005 hold for what was there before them. Each table is read once; reads and writes go on.
alter table barriers
  validate constraint barriers_callback_priority_is_1_to_10,
  validate constraint barriers_max_attempts_is_1_to_1000000,
  validate constraint barriers_stuck_after_1_to_2592000_seconds,
  validate constraint barriers_expires_after_it_was_created,
  validate constraint barriers_enqueue_key_is_1_to_255_bytes,
  validate constraint barriers_reason_is_at_most_4000_bytes;

alter table batches
  validate constraint batches_max_attempts_is_1_to_1000000,
  validate constraint batches_lease_is_5_to_86400_seconds,
  validate constraint batches_owner_is_at_most_1020_bytes,
  validate constraint batches_claim_key_is_1_to_255_bytes,
  validate constraint batches_token_is_at_most_128_bytes;
