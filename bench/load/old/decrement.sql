-- The old decrement: counts down, and appends the result to those of the others. $1 execution, $2 result.

update pg_barrier_state
set
  remaining = remaining - 1,
  results = results || $2::jsonb
where execution_id = $1 and remaining > 0
returning remaining
