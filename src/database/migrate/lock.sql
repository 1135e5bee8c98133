-- rollcall migrate, and serve as it starts
--
-- One process migrates, the others wait. The lock belongs to a transaction, so it also holds through a transaction pooler and
-- ends with its connection. That transaction does nothing else and is read committed, so between statements it has no snapshot
-- that `create index concurrently` would wait for. For the same reason the lock is polled, because a wait for it would hold a
-- snapshot; and its number is no parameter, because a parameter keeps the statement and its snapshot open.
--
-- The number is "rollcall" in ASCII, cut to 63 bits. It is one more than that of services from before rollcall_migrations.
--
-- ->  is_held

select pg_try_advisory_xact_lock(8245921731710545002) as is_held
