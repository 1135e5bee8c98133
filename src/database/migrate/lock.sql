-- rollcall migrate, and serve as it starts
--
-- One migrates, the others wait. The lock is a transaction's, so it also holds through a transaction pooler and ends with its
-- connection. That transaction does nothing else and is read committed, so between statements it has no snapshot that
-- `create index concurrently` would wait for. For the same reason it is asked for again and again, because waiting for it
-- holds a snapshot; and the number is no parameter, because then the statement stays open, with its snapshot.
--
-- The number is "rollcall" in ASCII, cut to 63 bits, and one more than that of services before rollcall_migrations.
--
-- ->  is_held

select pg_try_advisory_xact_lock(8245921731710545002) as is_held
