-- oldest service: 3

-- Callbacks that are posted take turns by receiver, and not by host alone.

-- A receiver is a host and a path: one gateway has many. The query is left out, because it often differs from run to run. A
-- digest, because a path may be longer than an entry of an index. Nothing depends on a column, so a service of an earlier
-- version, beside this one, writes what is needed without knowing of it.
create function callback_receiver(callback json) returns bytea
language sql immutable parallel safe
as $$
  select substring(
    sha256(
      convert_to(coalesce(nullif(substring(callback ->> 'url' from '^[^:]+://[^/?#]*([^?#]*)'), ''), '/'), 'UTF8')
    )
    for 16
  )
$$;
