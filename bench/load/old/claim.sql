-- The old claim: whoever inserts the marker works. $1 execution, $2 batch.

insert into pg_batch_dedup (execution_id, batch_index)
values ($1, $2)
on conflict do nothing
