-- compatible with: 2
-- Requests can be withdrawn and approvals revoked; approvals count people, not principals.
ALTER TABLE tickets DROP CONSTRAINT tickets_state_check;
ALTER TABLE tickets ADD CONSTRAINT tickets_state_check CHECK (state IN (
    'pending', 'approved', 'denied', 'withdrawn', 'revoked', 'expired', 'void', 'used'));

-- Who withdrew or revoked, and why; empty for what ended in another way.
ALTER TABLE tickets ADD COLUMN ended_by text NOT NULL DEFAULT '';
ALTER TABLE tickets ADD COLUMN ended_name text NOT NULL DEFAULT '';
ALTER TABLE tickets ADD COLUMN ended_comment text NOT NULL DEFAULT '';

-- One verified address under two principals is one person.
ALTER TABLE ticket_decisions ADD COLUMN email text NOT NULL DEFAULT '';
ALTER TABLE ticket_decisions ADD COLUMN agent text NOT NULL DEFAULT '';
