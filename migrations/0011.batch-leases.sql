-- When the lease of a batch is over.
--
-- oldest service: 3

-- A lease is over when its end has come; and when its worker was last seen in the future, because the clock of the database was
-- set back: it would last for as long as that. Five seconds are left to a clock that is put right in small steps. A claim
-- without a lease has no end.
create function batch_lease_is_over(lease_expires_at timestamptz, last_seen_at timestamptz) returns boolean
language sql volatile parallel safe
as $$
  select lease_expires_at is not null
    and (lease_expires_at <= clock_timestamp() or last_seen_at > clock_timestamp() + interval '5 seconds')
$$;
