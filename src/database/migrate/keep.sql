-- rollcall migrate, and serve as it starts
--
-- Puts one migration on record; a second run of it fails here and is rolled back.
--
-- $1 version, $2 name, $3 checksum, $4 oldest_service

insert into rollcall_migrations (version, name, checksum, oldest_service)
values ($1, $2, $3, $4)
