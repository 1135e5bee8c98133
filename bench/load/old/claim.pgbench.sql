\set n :n + 1
\set k :n * :clients + :client_id
\set execution :k % 1000
\set batch_index :k / 1000
insert into pg_batch_dedup (execution_id, batch_index) values (:run || '-' || :execution, :batch_index) on conflict do nothing;
