INSERT INTO public._sync_metadata AS m (table_name, error_message, updated_at)
VALUES (%(table)s, %(message)s, now())
ON CONFLICT (table_name) DO UPDATE SET error_message = excluded.error_message, updated_at = excluded.updated_at
