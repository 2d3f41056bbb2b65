"""Observations in a PostgreSQL store: a TimescaleDB hypertable where the extension is, weekly partitions where not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calibrig.store.observations import Observation, ObservationQuery

__all__ = ["APPEND", "EXPIRE", "OBSERVATION_SCHEMA", "SELECT", "columns_of", "select_values"]

APPEND = "SELECT append_observations(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::double precision[], %s::text[])"
EXPIRE = "SELECT expire_observations(%s)"
SELECT = (
    "SELECT kind, symbol, metric, time_ns, value, source FROM observations WHERE (%s::text IS NULL OR kind = %s) "
    "AND (%s::text IS NULL OR symbol = %s) AND (%s::text IS NULL OR metric = %s) AND time_ns BETWEEN %s AND %s "
    "ORDER BY time_ns DESC, symbol DESC, metric DESC, source DESC, kind DESC LIMIT %s"
)

# Both forms have the same columns and key, and are written and let go by the same two functions.
# Hypertables: create_hypertable and drop_chunks as TimescaleDB documents them, with an integer time column.
OBSERVATION_SCHEMA = """
CREATE TABLE {schema}.migrations (
    number integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL DEFAULT session_user
);

DO $migration$
DECLARE
    columns constant text := '(
        kind text COLLATE "C" NOT NULL,
        symbol text COLLATE "C" NOT NULL,
        metric text COLLATE "C" NOT NULL,
        time_ns bigint NOT NULL,
        value double precision NOT NULL,
        source text COLLATE "C" NOT NULL,
        PRIMARY KEY (kind, symbol, metric, time_ns, source, value))';
    home text;
BEGIN
    SELECT n.nspname INTO home FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'timescaledb';
    IF home IS NULL THEN
        EXECUTE 'CREATE TABLE {schema}.observations ' || columns || ' PARTITION BY RANGE (time_ns)';
    ELSE
        EXECUTE 'CREATE TABLE {schema}.observations ' || columns;
        EXECUTE format('SELECT %I.create_hypertable(''{schema}.observations'', ''time_ns'', '
            || 'chunk_time_interval => 604800000000000::bigint)', home);
    END IF;
END $migration$;
CREATE INDEX observations_by_time ON {schema}.observations (time_ns);

CREATE VIEW {schema}.observed AS
    SELECT kind, symbol, metric, to_timestamp(time_ns / 1e9) AS observed_time, value, source, time_ns
    FROM {schema}.observations;

CREATE FUNCTION {schema}.is_partitioned() RETURNS boolean LANGUAGE sql STABLE SET search_path = {schema}, pg_temp AS $$
    SELECT c.relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = '{schema}' AND c.relname = 'observations'
$$;

-- Makes the weeks that a batch needs; two writers that need the same one queue behind a lock of the transaction.
CREATE FUNCTION {schema}.append_observations(
    kinds text[], symbols text[], metrics text[], times bigint[], figures double precision[], sources text[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    width constant bigint := 604800000000000;
    week bigint;
BEGIN
    IF is_partitioned() THEN
        FOR week IN SELECT DISTINCT t / width FROM unnest(times) AS t ORDER BY 1 LOOP
            IF to_regclass(format('{schema}.observations_%s', week)) IS NULL THEN
                PERFORM pg_advisory_xact_lock(hashtextextended('{schema}.observations', 7));
                EXECUTE format('CREATE TABLE IF NOT EXISTS {schema}.observations_%s '
                    || 'PARTITION OF {schema}.observations FOR VALUES FROM (%s) TO (%s)',
                    week, week * width, (week + 1) * width);
            END IF;
        END LOOP;
    END IF;
    INSERT INTO observations SELECT * FROM unnest(kinds, symbols, metrics, times, figures, sources)
        ON CONFLICT DO NOTHING;
END $$;

-- Whole weeks go with their table; the rest of the oldest week is deleted.
CREATE FUNCTION {schema}.expire_observations(before bigint)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    width constant bigint := 604800000000000;
    old text;
    home text;
BEGIN
    IF is_partitioned() THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('{schema}.observations', 7));
        FOR old IN
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = '{schema}.observations'::regclass
                AND (replace(c.relname, 'observations_', '')::bigint + 1) * width <= before
        LOOP
            EXECUTE format('DROP TABLE {schema}.%I', old);
        END LOOP;
    ELSE
        SELECT n.nspname INTO home FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
            WHERE e.extname = 'timescaledb';
        EXECUTE format('SELECT %I.drop_chunks(''{schema}.observations'', older_than => %s::bigint)', home, before);
    END IF;
    DELETE FROM observations WHERE time_ns < before;
END $$;
REVOKE ALL ON FUNCTION {schema}.append_observations FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.expire_observations FROM PUBLIC;

-- Roles made before this migration get what `calibrig store init --roles` gives now.
DO $migration$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{schema}_writer') THEN
        GRANT EXECUTE ON FUNCTION {schema}.append_observations, {schema}.expire_observations TO {schema}_writer;
        GRANT SELECT ON {schema}.observations, {schema}.observed, {schema}.migrations TO {schema}_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{schema}_reader') THEN
        GRANT SELECT ON {schema}.observations, {schema}.observed, {schema}.migrations TO {schema}_reader;
    END IF;
END $migration$;
"""


def columns_of(observations: Sequence[Observation]) -> list[list[Any]]:
    """Return the batch as the arrays of ``append_observations``."""
    names = ("kind", "symbol", "metric", "time_ns", "value", "source")
    return [[getattr(one, name) for one in observations] for name in names]


def select_values(query: ObservationQuery) -> list[Any]:
    """Return the parameters of ``SELECT``."""
    since = 0 if query.since is None else query.since
    until = 2**63 - 1 if query.until is None else query.until
    kind, symbol, metric = query.kind, query.symbol, query.metric
    low, high = max(since, 0), min(max(until, -1), 2**63 - 1)
    return [kind, kind, symbol, symbol, metric, metric, low, high, query.limit]
