-- What was noticed about players, and what it is noticed by: things that accounts share.

CREATE TABLE signals (
  player_id    text COLLATE "C" NOT NULL,
  signal_id    uuid NOT NULL,                           -- UUIDv7: the order of time
  type         text NOT NULL CHECK (type IN ('BONUS_ONLY_PLAY', 'IMMEDIATE_WITHDRAWAL', 'BET_MANIPULATION', 'ABNORMAL_WIN_RATE',
                                             'LOW_RISK_WAGERING', 'MULTI_ACCOUNT', 'DEPOSIT_CYCLING', 'MANUAL_REVIEW')),
  severity     smallint NOT NULL CHECK (severity BETWEEN 1 AND 10),
  evidence     json NOT NULL,                           -- compared as it is written: a scan of the same facts writes the same
  raised_at    timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL CHECK (last_seen_at >= raised_at), -- of the evidence; the weight fades from here
  status       text NOT NULL CHECK (status IN ('OPEN', 'CONFIRMED', 'RESOLVED')),
  decided_at   timestamptz,
  decided_by   text,
  note         text,
  PRIMARY KEY (player_id, signal_id),
  CHECK ((status = 'OPEN') = (decided_at IS NULL) AND (decided_at IS NULL) = (decided_by IS NULL) AND (decided_at IS NULL) = (note IS NULL))
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX signals_open_once ON signals (player_id, type) WHERE status <> 'RESOLVED';
CREATE INDEX signals_by_id ON signals (signal_id);
CREATE INDEX signals_open ON signals (signal_id) WHERE status <> 'RESOLVED';

CREATE TABLE player_traces (                            -- what a player was seen with; only fingerprints are kept
  player_id     text COLLATE "C" NOT NULL,
  kind          text COLLATE "C" NOT NULL CHECK (kind IN ('DEVICE', 'PAYMENT_METHOD', 'IP')),
  fingerprint   bytea NOT NULL CHECK (length(fingerprint) = 32),    -- SHA-256
  first_seen_at timestamptz NOT NULL,
  PRIMARY KEY (player_id, kind, fingerprint)
);
CREATE INDEX player_traces_shared ON player_traces (kind, fingerprint, player_id);

-- One mailbox, one text: small letters, and where the provider ignores dots and what follows a plus, without them. Most
-- addresses are told apart by one comparison.
CREATE FUNCTION mailbox(email text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN lower(email) LIKE '%@g%mail.com' AND split_part(lower(email), '@', 2) IN ('gmail.com', 'googlemail.com')
  THEN replace(split_part(split_part(lower(email), '@', 1), '+', 1), '.', '') || '@gmail.com'
  ELSE lower(email)
END;
CREATE INDEX players_by_mailbox ON players (mailbox(email) COLLATE "C") WHERE email IS NOT NULL;

-- Deposits and withdrawals among a player's events.
CREATE INDEX activity_events_of_cashier ON activity_events (player_id, occurred_at) WHERE type IN ('DEPOSIT', 'WITHDRAWAL');

GRANT SELECT, INSERT, UPDATE ON signals TO loyalty_runtime;
GRANT SELECT, INSERT, DELETE ON player_traces TO loyalty_runtime;
