-- Webhooks: who is told of events, and what is still to be told.

CREATE TABLE webhooks (
  webhook_id  uuid PRIMARY KEY,
  url         text NOT NULL,
  description text,
  event_types text[] CHECK (cardinality(event_types) > 0),  -- null: all
  secret      text,                                     -- in clear, for every delivery is signed with it; goes with the webhook
  created_at  timestamptz NOT NULL,
  created_by  text NOT NULL,
  deleted_at  timestamptz,
  CHECK ((secret IS NULL) = (deleted_at IS NOT NULL))
);

-- An event for a webhook. Written by the million: no foreign key, `audit.sql` stands in for it.
CREATE TABLE webhook_deliveries (
  player_id    text COLLATE "C" NOT NULL,
  webhook_id   uuid NOT NULL,
  delivery_id  bigint NOT NULL,                         -- of the outbox: the order of a player's events
  event_id     uuid NOT NULL,                           -- the same for every webhook
  event_type   text NOT NULL,
  payload      json NOT NULL,
  occurred_at  timestamptz NOT NULL,
  status       text COLLATE "C" NOT NULL CHECK (status IN ('PENDING', 'DELIVERED', 'PARKED')),
  attempts     integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),  -- since it came, or since a person sent it again
  attempted_at timestamptz,                             -- the last attempt, and its answer
  status_code  integer,
  error        text,
  response     text,
  duration_ms  integer,
  ended_at     timestamptz,
  PRIMARY KEY (player_id, webhook_id, delivery_id),
  CHECK ((status = 'PENDING') = (ended_at IS NULL))
);
CREATE INDEX webhook_deliveries_by_status ON webhook_deliveries (webhook_id, status, delivery_id);
CREATE INDEX webhook_deliveries_delivered ON webhook_deliveries (ended_at) WHERE status = 'DELIVERED';

-- One row for each player of whom a webhook is still to be told something: their events go one after another, so it is
-- this row that is due, and that a relay claims. It goes with the last pending delivery.
CREATE TABLE webhook_streams (
  player_id  text COLLATE "C" NOT NULL,
  webhook_id uuid NOT NULL,
  head       bigint NOT NULL,                           -- no pending delivery comes before it
  due_at     timestamptz NOT NULL,                      -- of a claimed one: when the claim is over
  claim_id   uuid,
  PRIMARY KEY (player_id, webhook_id)
) WITH (fillfactor = 70);
CREATE INDEX webhook_streams_due ON webhook_streams (webhook_id, due_at);

GRANT SELECT, INSERT, UPDATE ON webhooks TO loyalty_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries, webhook_streams TO loyalty_runtime;
