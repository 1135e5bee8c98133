-- oldest service: 3

-- Bounds that only the routes knew, for writes that go round them. They compare numbers and lengths that are at hand: each is
-- computed with every count, so what would have to be read or matched (the length of metadata, the form of a fingerprint) is
-- left to the routes. Validated in 0008, so that no row is looked at under this lock.
alter table barriers
  add constraint barriers_callback_priority_is_1_to_10 check (
    (callback is null) = (callback_priority is null) and (callback_priority is null or callback_priority between 1 and 10)
  ) not valid,
  add constraint barriers_max_attempts_is_1_to_1000000 check (max_attempts between 1 and 1000000) not valid,
  add constraint barriers_stuck_after_1_to_2592000_seconds check (stuck_after_seconds between 1 and 2592000) not valid,
  -- An hour less, because a replace reads the clock for expires_at before it waits for its barrier, and for created_at after it;
  -- it waits no longer than the largest ROLLCALL_STATEMENT_TIMEOUT_SECONDS.
  add constraint barriers_expires_after_it_was_created check (expires_at > created_at - interval '1 hour') not valid,
  add constraint barriers_enqueue_key_is_1_to_255_bytes check (octet_length(enqueue_key) between 1 and 255) not valid,
  add constraint barriers_reason_is_at_most_4000_bytes check (octet_length(reason) <= 4000) not valid;
