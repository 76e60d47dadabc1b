-- name: get_spaces^
-- The active space and the one beside it, where there is one.
SELECT provider, model, dimensions, base_url, other_provider, other_model, other_dimensions, other_base_url, other_state
FROM embedding_space;

-- name: note_trouble!
-- Why a replica cannot embed in the next space: it holds up the switch.
UPDATE embedding_space SET trouble = :trouble, trouble_at = now()
WHERE other_state = 'next' AND (trouble_at IS NULL OR trouble_at < now() - interval '5 seconds');
