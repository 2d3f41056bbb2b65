"""The tables, triggers and functions of a PostgreSQL store: one migration per schema number, never edited later."""

from __future__ import annotations

from calibrig.store.backends.postgres_observations import OBSERVATION_SCHEMA

__all__ = ["MIGRATIONS"]

_FIRST = """
CREATE SCHEMA IF NOT EXISTS {schema};

CREATE TABLE {schema}.store (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    schema_number integer NOT NULL,
    store_id text NOT NULL,
    change bigint NOT NULL
);
INSERT INTO {schema}.store VALUES (true, 0, replace(gen_random_uuid()::text, '-', ''), 0);

CREATE TABLE {schema}.versions (
    change bigint PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    version_id bigint NOT NULL CHECK (version_id > 0),
    updated_at bigint NOT NULL,
    updated_by text NOT NULL,
    comment text NOT NULL,
    origin text NOT NULL,
    hash text NOT NULL CHECK (length(hash) = 64),
    payload text NOT NULL,
    UNIQUE (kind, symbol, version_id)
);
CREATE INDEX versions_by_time ON {schema}.versions (updated_at);

CREATE TABLE {schema}.heads (
    kind text COLLATE "C" NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    version_id bigint NOT NULL,
    hash text NOT NULL,
    change bigint NOT NULL UNIQUE,
    PRIMARY KEY (kind, symbol)
);

CREATE VIEW {schema}.history AS
    SELECT kind, symbol, version_id, to_timestamp(updated_at / 1e9) AS updated_time, updated_at, updated_by, comment,
           origin, content -> 'parameters' AS parameters, content #>> '{evidence,verdict}' AS verdict, hash
    FROM (SELECT v.*, coalesce(payload::jsonb -> 'signed', payload::jsonb) AS content
          FROM {schema}.versions v) AS v;

CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'history is immutable';
END $$;
CREATE TRIGGER versions_are_never_changed BEFORE UPDATE OR DELETE ON {schema}.versions
    FOR EACH ROW EXECUTE FUNCTION {schema}.refuse();
CREATE TRIGGER versions_are_never_truncated BEFORE TRUNCATE ON {schema}.versions
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse();

-- The row of the store is locked until the transaction ends, so change numbers become visible in their order.
CREATE FUNCTION {schema}.append_versions(
    kinds text[], symbols text[], version_ids bigint[], updated_ats bigint[], updated_bys text[], comments text[],
    origins text[], previous_hashes text[], hashes text[], payloads text[],
    OUT wrong integer, OUT present bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    number bigint;
    head record;
BEGIN
    wrong := 0;
    SELECT change INTO number FROM store FOR UPDATE;
    FOR i IN 1 .. cardinality(kinds) LOOP
        SELECT h.version_id, h.hash INTO head FROM heads h WHERE h.kind = kinds[i] AND h.symbol = symbols[i];
        present := coalesce(head.version_id, 0);
        IF present <> version_ids[i] - 1 OR (present > 0 AND head.hash <> previous_hashes[i]) THEN
            wrong := i;
            EXIT;
        END IF;
        IF encode(sha256(convert_to(payloads[i], 'UTF8')), 'hex') <> hashes[i] THEN
            RAISE EXCEPTION 'a version does not have the hash it claims';
        END IF;
        number := number + 1;
        INSERT INTO versions VALUES (number, kinds[i], symbols[i], version_ids[i], updated_ats[i], updated_bys[i],
            comments[i], origins[i], hashes[i], payloads[i]);
        INSERT INTO heads VALUES (kinds[i], symbols[i], version_ids[i], hashes[i], number)
            ON CONFLICT (kind, symbol) DO UPDATE SET
            version_id = excluded.version_id, hash = excluded.hash, change = excluded.change;
    END LOOP;
    IF wrong > 0 THEN
        -- Nothing of the batch stays: what was inserted before the conflict is taken back here.
        RAISE EXCEPTION USING ERRCODE = 'CB001', MESSAGE = wrong || ' ' || present;
    END IF;
    UPDATE store SET change = number;
    PERFORM pg_notify('{schema}_changed', number::text);
END $$;
REVOKE ALL ON FUNCTION {schema}.append_versions FROM PUBLIC;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, OBSERVATION_SCHEMA)
