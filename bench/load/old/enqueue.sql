-- The old enqueue. $1 execution, $2 how many batches.

insert into pg_barrier_state (execution_id, remaining)
values ($1, $2)
