-- oldest service: 3
-- transaction: none

drop index concurrently if exists barriers_callbacks_by_receiver;

-- What waits, receiver by receiver. barriers_callbacks_to_post stays for a service of an earlier version.
create index concurrently barriers_callbacks_by_receiver on barriers (callback_host, callback_receiver(callback), callback_due_at)
where callback_state in ('due', 'delivering') and callback_host is not null;
