-- oldest service: 3
-- transaction: none

drop index concurrently if exists barriers_callbacks_leased;

-- Leases by their beginning, so that those that begin in the future are ended. Not for a statement that asks for one callback by
-- its key: what it says of the state alone does not fit this index.
create index concurrently barriers_callbacks_leased on barriers (callback_leased_at)
where callback_state = 'delivering' and callback_leased_at is not null;
