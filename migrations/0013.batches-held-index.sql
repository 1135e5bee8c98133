-- oldest service: 3
-- transaction: none

drop index concurrently if exists batches_held;

-- Who asks for the claims of an execution reads all of them, so they need no order; and equal keys are kept once in a page.
create index concurrently batches_held on batches (namespace, execution_id, generation) where state = 'claimed';

-- In its place; until now there was one or the other.
drop index concurrently if exists batches_claimed;
