-- compatible with: 2
-- Retention: how far into each stream bodies were deleted, so that no run looks there again.
-- It is a note and no evidence: what was deleted, the chain's `bodies_deleted` records say.
ALTER TABLE streams ADD COLUMN bodies_deleted_to bigint NOT NULL DEFAULT 0;
