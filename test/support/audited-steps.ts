/**
 * Random statements of several sessions on audited tables, interleaved in one thread. What others can see after each step is asked of
 * PostgreSQL itself by a session of its own, which is the model that the audit trail is held against.
 */

import * as fc from 'fast-check';
import type { Client } from 'pg';
import { connect } from '#postgres';

interface Step {
  readonly session: number;
  readonly kind: keyof typeof statements | 'begin' | 'commit' | 'rollback' | 'savepoint' | 'rollback to';
  readonly region: 'a' | 'b' | 'c';
  readonly id: number;
  readonly toRegion: 'a' | 'b' | 'c';
  readonly toId: number;
  readonly value: number;
}

/** What others saw after a step. */
interface Seen {
  readonly at: string;
  readonly items: unknown;
  readonly lines: unknown;
}

/** Two levels of triggers of the application's own: one that changes NEW, and one that changes the row once more by a statement. */
const ownTriggers = `
  CREATE FUNCTION trial.tidy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := trim(NEW.note); RETURN NEW; END $$;
  CREATE TRIGGER tidy BEFORE INSERT OR UPDATE ON trial.items FOR EACH ROW EXECUTE FUNCTION trial.tidy();
  CREATE FUNCTION trial.count_version() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN UPDATE trial.items SET version = coalesce(version, 0) + 1 WHERE region = NEW.region AND id = NEW.id; RETURN NULL; END $$;
  CREATE TRIGGER zz_count_version AFTER INSERT OR UPDATE ON trial.items FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION trial.count_version();`;

/** Anew: items, partitioned, and lines, which go where their item goes. */
export async function makeTrial(admin: Client, triggers: boolean): Promise<void> {
  await admin.query(`
    DROP SCHEMA IF EXISTS trial CASCADE;
    CREATE SCHEMA trial;
    CREATE TYPE trial.mood AS ENUM ('good', 'bad');
    CREATE TABLE trial.items (
      region text, id int, price numeric(12, 4), sold_at timestamptz, data bytea, doc jsonb, tags text[], mood trial.mood, note text, version int,
      doubled int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (region, id)
    ) PARTITION BY LIST (region);
    CREATE TABLE trial.items_a PARTITION OF trial.items FOR VALUES IN ('a');
    CREATE TABLE trial.items_b (
      mood trial.mood, note text, id int NOT NULL, region text NOT NULL, tags text[], gone int, price numeric(12, 4), sold_at timestamptz, data bytea,
      doc jsonb, version int, doubled int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (region, id)
    );
    ALTER TABLE trial.items_b DROP COLUMN gone;
    ALTER TABLE trial.items ATTACH PARTITION trial.items_b FOR VALUES IN ('b');
    CREATE TABLE trial.items_rest PARTITION OF trial.items DEFAULT;
    CREATE TABLE trial.lines (
      region text, id int, n int, amount float8, doubled float8 GENERATED ALWAYS AS (amount * 2) STORED, PRIMARY KEY (region, id, n),
      FOREIGN KEY (region, id) REFERENCES trial.items ON DELETE CASCADE ON UPDATE CASCADE
    );
    INSERT INTO trial.items (region, id, price) SELECT r, i, 0.10 FROM unnest('{a,b,c}'::text[]) AS r, generate_series(1, 2) AS i;
    INSERT INTO trial.lines SELECT region, id, 1, 0.1 FROM trial.items;
    ${triggers ? ownTriggers : ''}
    SELECT audit.attach('trial.items'), audit.attach('trial.lines');`);
}

const quoted = (text: string): string => `'${text}'`;
/** The columns that are not in the key, from a number: NULL now and then, and texts that need escapes. */
const valuesOf = (value: number): string =>
  [
    value % 5 === 0 ? 'NULL' : `${value} / 7.0`,
    value % 4 === 0 ? 'NULL' : `'2026-03-29 00:59:59.9+00'::timestamptz + ${value} * interval '1.000001 s'`,
    value % 3 === 0 ? 'NULL' : `decode(md5('${value}'), 'hex')`,
    value % 6 === 0 ? 'NULL' : `'{"a": [${value}, "${value}"], "b": null}'`,
    value % 7 === 0 ? 'NULL' : `ARRAY['x', NULL, '${value}"\\']`,
    value % 5 === 1 ? 'NULL' : `'${value % 2 ? 'good' : 'bad'}'::trial.mood`,
    value % 8 === 0 ? `''` : `' a ''"%s ${value}'`,
  ].join(', ');
const columns = 'price, sold_at, data, doc, tags, mood, note';
const keyOf = ({ region, id }: Step): string => `region = ${quoted(region)} AND id = ${id}`;
const rowOf = ({ region, id, value }: Step): string => `${quoted(region)}, ${id}, ${valuesOf(value)}`;
const insert = `INSERT INTO trial.items (region, id, ${columns})`;

/** What a step says to PostgreSQL. Where it is refused, it did nothing. */
const statements = {
  insert: (step: Step) => `${insert} VALUES (${rowOf(step)})`,
  'insert many': ({ value, id }: Step) =>
    `${insert} SELECT r, i, ${valuesOf(value)} FROM unnest('{a,b,c}'::text[]) AS r, generate_series(${id}, 6) AS i ON CONFLICT DO NOTHING`,
  update: (step: Step) => `UPDATE trial.items SET (${columns}) = ROW (${valuesOf(step.value)}) WHERE ${keyOf(step)}`,
  'update many': ({ id, value }: Step) => `UPDATE trial.items SET price = price + ${value}, note = note || '+' WHERE id <= ${id}`,
  'update nothing': (step: Step) => `UPDATE trial.items SET note = note WHERE region = ${quoted(step.region)}`,
  move: (step: Step) => `UPDATE trial.items SET region = ${quoted(step.toRegion)}, id = ${step.toId} WHERE ${keyOf(step)}`,
  'move many': (step: Step) => `UPDATE trial.items SET region = ${quoted(step.toRegion)}, price = -1 WHERE region = ${quoted(step.region)}`,
  shift: (step: Step) => `UPDATE trial.items SET id = id + 1 WHERE region = ${quoted(step.region)} AND id >= ${step.id}`,
  exchange: (step: Step) => `
    WITH gone AS (DELETE FROM trial.items WHERE region = ${quoted(step.region)} AND id IN (${step.id}, ${step.toId}) RETURNING *)
    INSERT INTO trial.items (region, id, ${columns}) SELECT region, ${step.id} + ${step.toId} - id, ${columns} FROM gone`,
  delete: (step: Step) => `DELETE FROM trial.items WHERE ${keyOf(step)}`,
  'delete many': (step: Step) => `DELETE FROM trial.items WHERE region = ${quoted(step.region)} AND id > ${step.id}`,
  upsert: (step: Step) => `${insert} VALUES (${rowOf(step)}), (${quoted(step.toRegion)}, ${step.toId + 6}, ${valuesOf(step.value + 1)})
    ON CONFLICT (region, id) DO UPDATE SET price = EXCLUDED.price, tags = items.tags || EXCLUDED.tags`,
  merge: ({ region, id, value }: Step) => `
    MERGE INTO trial.items t USING (SELECT ${quoted(region)} AS region, i AS id FROM generate_series(${id}, ${id + 3}) AS i) s
       ON t.region = s.region AND t.id = s.id
     WHEN MATCHED AND s.id % 3 = ${value % 3} THEN DELETE
     WHEN MATCHED THEN UPDATE SET doc = '${value}', mood = NULL
     WHEN NOT MATCHED THEN INSERT (region, id, ${columns}) VALUES (s.region, s.id, ${valuesOf(value)})`,
  'of a partition': ({ id, value }: Step) =>
    value % 3 === 0
      ? `DELETE FROM trial.items_b WHERE id = ${id}`
      : value % 3 === 1
        ? `UPDATE trial.items_b SET price = ${value}, id = id + 10 WHERE id = ${id}`
        : `INSERT INTO trial.items_b (region, id, ${columns}) VALUES ('b', ${id}, ${valuesOf(value)})`,
  copy: ({ region, id, value }: Step) =>
    `COPY trial.items (region, id, note) FROM PROGRAM 'printf "${region}\\t${id}\\tcopied ${value}\\n${region}\\t${id + 20}\\t\\\\N\\n"'`,
  line: (step: Step) => `INSERT INTO trial.lines VALUES (${quoted(step.region)}, ${step.id}, ${step.value}, ${step.value} / 3.0::float8)
    ON CONFLICT (region, id, n) DO UPDATE SET amount = lines.amount * 1.1`,
  'lines of many': ({ value }: Step) => `UPDATE trial.lines SET amount = amount + ${value}`,
  truncate: ({ value }: Step) => `TRUNCATE ${['trial.items_a CASCADE', 'trial.items CASCADE', 'trial.lines'][value % 3]}`,
} as const;

const regions = fc.constantFrom('a' as const, 'b' as const, 'c' as const);
const ids = fc.integer({ min: 1, max: 4 });
const kinds = Object.keys(statements) as Step['kind'][];

export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    session: fc.nat(2),
    kind: fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...kinds.filter((kind) => kind !== 'truncate')) },
      { weight: 2, arbitrary: fc.constantFrom<Step['kind'][]>('begin', 'commit', 'rollback', 'savepoint', 'rollback to') },
      { weight: 1, arbitrary: fc.constantFrom<Step['kind'][]>('begin', 'insert', 'update', 'truncate') },
    ),
    ...{ region: regions, id: ids, toRegion: regions, toId: ids, value: fc.nat(500) },
  }),
  { minLength: 25, maxLength: 45, size: 'max' },
);

/** Sessions that run steps. Nobody waits for a lock: who meets one is refused, since the one that has it is driven by the same thread. */
export class Sessions {
  private readonly open: { inside: boolean; savepoints: number }[];

  private constructor(
    private readonly clients: readonly Client[],
    private readonly observer: Client,
  ) {
    this.open = clients.map(() => ({ inside: false, savepoints: 0 }));
  }

  static async connect(url: string, count: number): Promise<Sessions> {
    const clients = await Promise.all(Array.from({ length: count }, () => connect(url)));
    for (const client of clients) await client.query(`SET lock_timeout = '4ms'`);
    const observer = await connect(url);
    await observer.query(`SET TimeZone = 'UTC'; SET lock_timeout = '10s'`);
    return new Sessions(clients, observer);
  }

  async end(): Promise<void> {
    await Promise.all([...this.clients, this.observer].map((client) => client.end()));
  }

  /** Ends what is open. */
  async settle(): Promise<void> {
    for (const [session, client] of this.clients.entries()) {
      await client.query('ROLLBACK');
      this.open[session] = { inside: false, savepoints: 0 };
    }
  }

  /** @returns what others see afterwards */
  async run(step: Step): Promise<Seen> {
    await this.perform(step);
    const { rows } = await this.observer.query<Seen>(`
      SELECT clock_timestamp()::text AS at,
             (SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY region, id), '[]') FROM trial.items t) AS items,
             (SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY region, id, n), '[]') FROM trial.lines t) AS lines`);
    return rows[0] as Seen;
  }

  private async perform(step: Step): Promise<void> {
    const client = this.clients[step.session] as Client;
    const state = this.open[step.session] as { inside: boolean; savepoints: number };
    switch (step.kind) {
      case 'begin':
        if (!state.inside) await client.query('BEGIN');
        state.inside = true;
        return;
      case 'commit':
      case 'rollback':
        if (state.inside) await client.query(step.kind);
        this.open[step.session] = { inside: false, savepoints: 0 };
        return;
      case 'savepoint':
        if (state.inside) await client.query(`SAVEPOINT s${++state.savepoints}`);
        return;
      case 'rollback to':
        if (state.savepoints > 0) await client.query(`ROLLBACK TO s${state.savepoints--}`);
        return;
    }
    if (state.inside) await client.query(`SAVEPOINT s${++state.savepoints}`);
    try {
      await client.query(statements[step.kind](step));
    } catch (error) {
      refusals.add((error as { code?: string }).code ?? String(error));
      if (state.inside) await client.query(`ROLLBACK TO s${state.savepoints--}`);
      return;
    }
    // Its lock would keep out whoever looks.
    if (step.kind === 'truncate' && state.inside) {
      await client.query(step.value % 2 ? 'COMMIT' : 'ROLLBACK');
      this.open[step.session] = { inside: false, savepoints: 0 };
    }
  }
}

/** SQLSTATEs of the statements that were refused, to see that they were refused for what was meant to be. */
export const refusals = new Set<string>();

/** Triggers that change the row of the statement that fired them, each for rows of its own only: at which depth, and what they do. */
const nestTriggers = [
  ['AFTER INSERT OR UPDATE', 1, 'IF NEW.a > 5 THEN UPDATE nest.rows SET a = 5 WHERE id = NEW.id; END IF'],
  ['AFTER UPDATE', 2, 'UPDATE nest.rows SET b = b + 1 WHERE id = NEW.id'],
  ['AFTER INSERT', 1, 'UPDATE nest.rows SET b = 7, a = a + 1 WHERE id = NEW.id; UPDATE nest.rows SET a = a - 1 WHERE id = NEW.id'],
  ['AFTER DELETE', 1, 'IF OLD.a % 2 = 0 THEN INSERT INTO nest.rows VALUES (OLD.id, 1, OLD.b) ON CONFLICT DO NOTHING; END IF'],
  ['AFTER UPDATE', 1, 'IF NEW.a = 3 THEN DELETE FROM nest.rows WHERE id = NEW.id; INSERT INTO nest.rows VALUES (NEW.id, 4, 4); END IF'],
  ['BEFORE INSERT', 1, 'DELETE FROM nest.rows WHERE id = NEW.id AND NEW.b = 2'],
  ['AFTER UPDATE', 2, 'UPDATE nest.rows SET a = OLD.a WHERE id = NEW.id AND NEW.b % 3 = 0'],
] as const;

/** Anew: rows that refer to each other, with some of the triggers; each may do its work as often as there are levels. */
export async function makeNest(client: Client, triggers: readonly number[]): Promise<void> {
  const made = triggers.map((chosen, index) => {
    const [when, depth, body] = nestTriggers[chosen % nestTriggers.length] as (typeof nestTriggers)[number];
    return `
      CREATE FUNCTION nest.f${index}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body}; RETURN NEW; END $$;
      CREATE TRIGGER t${index} ${when} ON nest.rows FOR EACH ROW WHEN (pg_trigger_depth() < ${depth}) EXECUTE FUNCTION nest.f${index}();`;
  });
  await client.query(`
    DROP TABLE IF EXISTS nest.rows CASCADE;
    ${nestTriggers.map((_, index) => `DROP FUNCTION IF EXISTS nest.f${index}();`).join('')}
    CREATE TABLE nest.rows (id int PRIMARY KEY, a int, b int, up int REFERENCES nest.rows ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE);
    ${made.join('')}
    CREATE OR REPLACE FUNCTION nest.touch(p int) RETURNS int LANGUAGE plpgsql AS $$
      BEGIN UPDATE nest.rows SET b = b + 2 WHERE id = p; UPDATE nest.rows SET a = 6 WHERE id = p; RETURN 1; END $$;
    SELECT audit.attach('nest.rows');`);
}

const small = fc.integer({ min: 1, max: 4 });
const value = fc.integer({ min: 0, max: 8 });
const nestStatement = fc.record({ kind: fc.nat(10), id: small, other: small, a: value, b: value }).map(
  ({ kind, id, other, a, b }) =>
    [
      `INSERT INTO nest.rows VALUES (${id}, ${a}, ${b}, NULL)`,
      `INSERT INTO nest.rows SELECT i, ${a}, ${b}, NULL FROM generate_series(${id}, 4) i ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a`,
      `UPDATE nest.rows SET a = ${a}`,
      `UPDATE nest.rows SET a = a + 1, b = ${b} WHERE id <= ${id}`,
      `UPDATE nest.rows SET up = ${other} WHERE id = ${id}`,
      `UPDATE nest.rows SET id = ${other} WHERE id = ${id}`,
      `DELETE FROM nest.rows WHERE id = ${id}`,
      `WITH gone AS (DELETE FROM nest.rows WHERE id IN (${id}, ${other}) RETURNING *) INSERT INTO nest.rows SELECT ${id} + ${other} - id, a, b FROM gone`,
      `MERGE INTO nest.rows t USING generate_series(1, ${other}) s ON t.id = s WHEN MATCHED AND s = ${id} THEN DELETE
           WHEN MATCHED THEN UPDATE SET a = ${a} WHEN NOT MATCHED THEN INSERT (id, a, b) VALUES (s, ${a}, ${b})`,
      `WITH done AS (UPDATE nest.rows SET a = ${a} WHERE id = ${id} RETURNING nest.touch(id)) SELECT count(*) INTO n FROM done`,
      `BEGIN UPDATE nest.rows SET a = a + 2; IF ${a} > 3 THEN RAISE division_by_zero; END IF; END`,
    ][kind] as string,
);

/** Messages of several statements each; what is refused did nothing, and the rest goes on. */
export const blocks = fc.record({
  triggers: fc.array(fc.nat(nestTriggers.length - 1), { maxLength: 4 }),
  messages: fc.array(
    fc
      .array(nestStatement, { minLength: 1, maxLength: 5, size: 'max' })
      .map(
        (list) =>
          `DO $$ DECLARE n int; BEGIN ${list.map((text) => `BEGIN ${text}; EXCEPTION WHEN OTHERS THEN NULL; END;`).join('\n')} END $$`,
      ),
    { minLength: 3, maxLength: 8, size: 'max' },
  ),
});
