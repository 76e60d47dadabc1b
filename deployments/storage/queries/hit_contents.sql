-- name: read_contents
SELECT id, content FROM messages WHERE tenant_id = :tenant_id AND id = ANY(:ids::uuid[]);
