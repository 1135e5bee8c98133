-- rollcall migrate, and serve as it starts
--
-- ->  version, name, checksum, oldest_service of each migration that has run, in order

select version, name, checksum, oldest_service
from rollcall_migrations
order by version
