/**
 * One simulated book: two processes of the service that share it, commands right and wrong, and everything that may happen to
 * a process meanwhile. Each burst of commands is laid beside the model: the accepted ones in the order of their positions, and
 * for every refused one there must be a moment at which the model refuses it with the same code. Then questions on both axes
 * are answered by a process and by the model. Hides what a command's answer looks like and how an unknown outcome is found
 * out (by repeating the key). The seed decides commands, faults and questions; which of two callers is faster it does not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Client, Pool } from 'pg';
import { type EntryLine, LedgerError } from '#domain';
import { EventStore } from '#event-store';
import {
  type Answer,
  type Command,
  type CurrencyBalance,
  catalogue,
  Ledger,
  PeriodEnd,
  Projector,
  Queries,
  Reports,
  type TrialBalance,
  verifyBooks,
} from '#ledger';
import { connect, openPool } from '#postgres';
import { type Random, random } from './histories';
import { checkBook, contextOf } from './ledgers';
import { decimal, type Expected, Model, type ModelAccount, type ModelActor } from './model';
import { controllerContext } from './periods';
import { askStatement } from './statements';
import { type TcpProxy, tcpProxy } from './tcp-proxy';

const deadlineMs = 4_000;

/** One process of the service, as far as a database can tell; its memory is gone when it dies. */
class Process {
  dead = false;
  private readonly died: Promise<never>;
  private die: (error: Error) => void = () => {};
  /** Milliseconds that its clock is off by. */
  clockOffset = 0;

  private constructor(
    readonly proxy: TcpProxy,
    readonly pool: Pool,
    readonly ledger: Ledger,
    readonly projector: Projector,
    readonly queries: Queries,
    readonly reports: Reports,
    readonly periodEnd: PeriodEnd,
  ) {
    this.died = new Promise((_, reject) => {
      this.die = reject;
    });
    this.died.catch(() => {}); // nobody may be waiting
  }

  /** @param cacheBytes for account states: a few hundred make every batch read what the last one dropped */
  static async start(url: string, cacheBytes: number): Promise<Process> {
    const proxy = await tcpProxy(url);
    const pool = openPool(proxy.url, { max: 4, queryTimeoutMs: deadlineMs });
    const store = new EventStore(pool, catalogue);
    const projector = new Projector(store, pool, { sweepMs: 20, retryMs: 20, monthEndsEvery: 128 });
    let self: Process | undefined;
    const ledger = new Ledger(store, {
      connect: () => connect(proxy.url, { pipeline: true }),
      release: 'simulation',
      config: {
        STATE_CACHE_MB: cacheBytes / 1024 / 1024,
        WRITER_CONNECTIONS: 2,
        QUEUE_PER_BOOK: 10_000,
        QUEUE_TOTAL: 10_000,
        QUEUE_MB: 64,
        COMMAND_DEADLINE_MS: deadlineMs,
      },
      onAppended: (bookId) => projector.wake(bookId),
      clock: () => Date.now() + (self?.clockOffset ?? 0),
    });
    projector.start();
    const queries = new Queries(store, pool, { readWaitMs: 15_000 });
    const periodEnd = new PeriodEnd(store, queries, ledger);
    self = new Process(proxy, pool, ledger, projector, queries, new Reports(store, queries), periodEnd);
    return self;
  }

  /** @throws LedgerError, or Error when the process dies first */
  execute(bookId: string, { command, key, actor }: Sent): Promise<Answer> {
    const context = contextOf(key, actor);
    const computes = command.type === 'Revalue';
    return Promise.race([
      computes ? this.periodEnd.execute(bookId, command, context) : this.ledger.execute(bookId, command, context),
      this.died,
    ]);
  }

  ask<T>(question: (queries: Queries, reports: Reports) => Promise<T>): Promise<T> {
    return Promise.race([question(this.queries, this.reports), this.died]);
  }

  /** As kill -9: connections end, memory is lost, callers hear nothing. @returns when nothing is left of it */
  async kill(): Promise<void> {
    this.dead = true;
    this.die(new Error('the process died'));
    await this.proxy.close();
    await this.close();
  }

  async stop(): Promise<void> {
    this.dead = true;
    await this.close();
    await this.proxy.close();
  }

  private async close(): Promise<void> {
    await this.ledger.close();
    await this.projector.stop();
    await this.pool.end();
  }
}

interface Sent {
  readonly command: Command;
  readonly key: string;
  readonly actor: ModelActor;
}

const clerk: ModelActor = { userId: contextOf('').userId, isController: false };
const controllers = [1, 2].map((who): ModelActor => ({ userId: controllerContext('', who).userId, isController: true }));

/** What became of a command, or of one entry of a batch call that is not atomic. */
interface Outcome extends Sent {
  /** Code of the refusal, or the answer. */
  readonly refused?: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers have many shapes
  readonly body?: any;
}

export interface SimulationFigures {
  readonly seed: number;
  commands: number;
  accepted: number;
  refused: number;
  repeats: number;
  questions: number;
  faults: Record<string, number>;
  events: number;
  /** Periods closed and opened again, entries refused because of a close, and moved by one. */
  periods: { closed: number; reopened: number; refused: number; moved: number };
  /** Of a tracked book: rates recorded, entries with a line for rounding, revaluations that moved something. */
  rates: { recorded: number; rounded: number; revalued: number };
}

const codes = ['A1', 'A2', 'A3', 'L1', 'I1', 'E1', 'H1', 'LIM', 'EURONLY'];
const types = { A: 'asset', L: 'liability', I: 'income', E: 'expense', H: 'asset' } as const;

export class Simulation {
  readonly figures: SimulationFigures;
  private readonly chance: Random;
  /** For looking on, behind no proxy. */
  private readonly pool: Pool;
  private readonly bookId: string;
  /** Every other seed has a book that tracks exchange rates. */
  private readonly tracked: boolean;
  private processes: Process[] = [];
  private model!: Model;
  private serial = 0;
  private readonly told = new Map<string, Omit<Sent, 'key'> & { readonly status: number; readonly body: string }>();
  private readonly ended: Promise<void>[] = [];
  private readonly trace: string[] = [];
  private readonly codes = codes.filter((code) => code !== 'H1');

  constructor(
    seed: number,
    private readonly url: string,
    private readonly admin: Client,
  ) {
    this.figures = {
      seed,
      commands: 0,
      accepted: 0,
      refused: 0,
      repeats: 0,
      questions: 0,
      faults: {},
      events: 0,
      periods: { closed: 0, reopened: 0, refused: 0, moved: 0 },
      rates: { recorded: 0, rounded: 0, revalued: 0 },
    };
    this.tracked = seed % 2 === 0;
    this.pool = openPool(url, { max: 2 });
    this.chance = random(seed);
    this.bookId = `sim-${seed}-${Date.now().toString(36)}`;
  }

  /** @param steps bursts of commands @param checkEvery steps between two looks at all invariants */
  async run(steps: number, checkEvery: number): Promise<void> {
    try {
      await this.open();
      for (let step = 1; step <= steps; step++) {
        this.trace.length = Math.min(this.trace.length, 400);
        await this.step();
        await this.askAll(2);
        if (step % checkEvery === 0) await this.check();
      }
      await this.check();
    } catch (error) {
      const last = this.trace.slice(-25).join('\n  ');
      throw new Error(`SEED=${this.figures.seed}: ${(error as Error).stack}\nlast steps:\n  ${last}`, { cause: error });
    } finally {
      this.ended.push(...this.processes.map((process) => process.stop()));
      await Promise.all(this.ended);
      await this.pool.end();
    }
  }

  // --- Steps ---

  private async start(): Promise<Process> {
    return Process.start(this.url, this.chance.pick([600, 4_000, 16_000_000]));
  }

  private async open(): Promise<void> {
    this.processes = [await this.start(), await this.start()];
    const { chance } = this;
    const startMonth = chance.pick(['01', '04', '10']);
    const startsOn = chance.pick(['2024-01-01', '2025-07-15', '2020-10-01']);
    const opening: Command = {
      type: 'OpenBook',
      id: this.bookId,
      name: 'Simulated',
      baseCurrency: 'EUR',
      fiscalYearStart: `${startMonth}-01`,
      startsOn,
      fx: this.tracked ? 'tracked' : 'untracked',
    };
    const { body, refused } = (await this.send({ command: opening, key: `open-${this.bookId}`, actor: clerk }))[0] as Outcome;
    if (refused !== undefined) throw new Error(`the book could not be opened: ${refused}`);
    this.model = new Model(startsOn, startMonth, body.recordedAt, this.tracked);
    const accounts = codes.map((code): Command => {
      const accountType = types[code.charAt(0) as keyof typeof types] ?? 'asset';
      const more =
        code === 'LIM'
          ? { accountType: 'liability' as const, limits: [{ currency: 'EUR', min: '0', max: '500.50' }] }
          : code === 'EURONLY'
            ? { accountType: 'asset' as const, currencies: ['EUR'] }
            : {};
      return { type: 'OpenAccount', code, name: code, accountType, postable: code !== 'H1', ...more } as Command;
    });
    const more: Command[] = [{ type: 'DefineJournal', journalCode: 'CASH', name: 'Cash book' }];
    if (chance.below(2) === 0) more.push({ type: 'EnableCurrency', code: 'PTS', scale: 4 });
    const send = (commands: readonly Command[]): Promise<void> =>
      this.burst(commands.map((command) => ({ command, key: this.newKey(), actor: clerk })));
    await send([...accounts, ...more]);
    if (!this.tracked) return;
    const expense = (code: string, accountType: 'expense' | 'income' = 'expense'): Command => ({
      type: 'OpenAccount',
      code,
      name: code,
      accountType,
    });
    await send([expense('ROUND'), expense('GAIN', 'income'), expense('LOSS'), this.openingRates()]);
    this.codes.push('ROUND');
    await send([
      { type: 'DesignateAccount', role: 'fx_gain_unrealised', account: 'GAIN' },
      { type: 'DesignateAccount', role: 'fx_loss_unrealised', account: 'LOSS' },
      ...(chance.below(4) === 0 ? [] : [{ type: 'DesignateAccount', role: 'rounding', account: 'ROUND' } as const]),
    ]);
  }

  /** Spot rates of most months, closing rates of most month ends; some are missing. */
  private openingRates(): Command {
    const { chance } = this;
    const rates = months.flatMap(({ first, last }) =>
      (['USD', 'BHD', 'JPY'] as const).flatMap((from) =>
        (['spot', 'closing'] as const)
          .filter(() => chance.below(6) > 0)
          .map((rateType) => ({
            from,
            to: 'EUR',
            rateType,
            date: rateType === 'spot' ? first : last,
            value: this.rate(from),
            source: 'ECB',
          })),
      ),
    );
    return { type: 'RecordRates', rates };
  }

  private rate(currency: string): string {
    const { chance } = this;
    const digits = 1 + chance.below(9_998);
    const usual: Readonly<Record<string, string>> = { USD: '0.9', BHD: '2.4', JPY: '0.006' };
    return `${usual[currency] ?? '1.5'}${String(digits).padStart(4, '0')}`.replace(/0+$/, '');
  }

  private newKey = (): string => `key-${++this.serial}`;

  private async step(): Promise<void> {
    const { chance } = this;
    // A revaluation is computed from balances and rates before it is decided: what it says hangs on nothing that is sent beside it.
    const revalues = this.tracked && chance.below(5) === 0;
    const size = revalues ? 1 : chance.pick([1, 1, 2, 4, 8, 16]);
    const sent = Array.from({ length: size }, (): Sent => {
      const command = revalues ? this.revaluation() : this.command();
      return { command, key: this.newKey(), actor: this.actorOf(command) };
    });
    const fault = chance.below(10) < 4 ? chance.pick(faultNames) : undefined;
    const working = this.burst(sent);
    if (fault !== undefined) await this.strike(fault, working);
    await working;
  }

  private async strike(fault: (typeof faultNames)[number], working: Promise<void>): Promise<void> {
    const { chance } = this;
    this.figures.faults[fault] = (this.figures.faults[fault] ?? 0) + 1;
    this.trace.push(`fault: ${fault}`);
    const place = chance.below(this.processes.length);
    const process = this.processes[place] as Process;
    const turns = chance.below(12);
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
    switch (fault) {
      case 'connections cut':
        return process.proxy.cut();
      case 'answers lost':
        process.proxy.swallowAnswers();
        await Promise.race([working.catch(() => {}), sleep(chance.below(30))]);
        return process.proxy.cut();
      case 'backends terminated':
        await this.admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = (SELECT rolname FROM pg_roles WHERE rolname LIKE 'bk_test%' LIMIT 1) AND pid % 2 = $1`,
          [chance.below(2)],
        );
        return;
      case 'process killed':
        this.ended.push(process.kill());
        this.processes[place] = await this.start();
        return;
      case 'process restarted':
        this.processes[place] = await this.start();
        return process.stop();
      case 'clock turned':
        process.clockOffset = chance.pick([-3_600_000, -1_000, 0, 500, 1_500, 60_000, 3_600_000]);
        return;
      case 'projector stopped':
        await process.projector.stop();
        await working.catch(() => {}); // told to whoever waits for the burst
        return process.projector.start();
      case 'projections emptied':
        return process.projector.refold(this.bookId).catch((error: Error) => {
          // It lost against a fold; nothing was emptied.
          this.trace.push(`rebuild: ${error.message}`);
        });
    }
  }

  // --- Commands ---

  /** Closing is mostly left to controllers; they post too, now and then. */
  private actorOf({ type }: Command): ModelActor {
    const { chance } = this;
    const closes = type === 'ClosePeriod' || type.endsWith('Reopening');
    return chance.below(8) < (closes ? 7 : 1) ? chance.pick(controllers) : clerk;
  }

  /** Of the first years, so that most days stay open; now and then one that there is not. */
  private period(): { readonly fiscalYear: string; readonly period: number } {
    const { chance, model } = this;
    const months = model.months().filter(({ to }) => to < '2026-06');
    const { label, no } = chance.pick(months) ?? { label: '1999', no: 1 };
    return { fiscalYear: label, period: chance.below(20) === 0 ? 13 : no };
  }

  /** Of the last closed month mostly, since months open again from there; the step that is next mostly. */
  private reopening(reason: string): Command {
    const { chance } = this;
    const last = this.model.lastClosed();
    const place = last === undefined || chance.below(6) === 0 ? this.period() : { fiscalYear: last.label, period: last.no };
    const type = last?.isAsked
      ? chance.pick(['ApproveReopening', 'ApproveReopening', 'ApproveReopening', 'DeclineReopening', 'RequestReopening'] as const)
      : chance.pick(['RequestReopening', 'RequestReopening', 'RequestReopening', 'ApproveReopening', 'DeclineReopening'] as const);
    return { type, ...place, reason };
  }

  private amount(): string {
    const { chance } = this;
    if (chance.below(25) === 0) return chance.pick(['0', '-1', '1e3', '1.005', '01', '', '9'.repeat(31), '0.00']);
    const whole = chance.pick([1, 5, 100, 300, 1_000_000]) + chance.below(50);
    return chance.pick([`${whole}`, `${whole}.0`, `${whole}.00`, `${whole}.5`, `${whole}.25`]);
  }

  private date(): string {
    const { chance } = this;
    const kind = chance.below(20);
    if (kind === 0) return chance.pick(['2019-01-01', '2023-12-31', '2031-05-05', '2044-01-01', '2099-12-31']);
    const year = chance.pick([2025, 2026, 2026, 2026, 2027]);
    return `${year}-${String(1 + chance.below(12)).padStart(2, '0')}-${String(1 + chance.below(28)).padStart(2, '0')}`;
  }

  /** A code that leads somewhere mostly; old codes too. */
  private code = (): string => (this.chance.below(40) === 0 ? this.chance.pick(['nowhere', 'H1']) : this.chance.pick(this.codes));

  /** A code of an account that is frozen, most of the time: else nothing could be posted any more. */
  private frozenCode(): string | undefined {
    const frozen = this.model.accounts.filter(({ status }) => status === 'frozen');
    const place = this.chance.below(1_000_000) / 1_000_000;
    return frozen[Math.floor(place * (frozen.length + 0.2))]?.codes.at(-1)?.code;
  }

  private content(): Omit<Extract<Command, { type: 'PostEntry' }>, 'type'> {
    const { chance } = this;
    const currency = chance.pick([
      'EUR',
      ...(this.tracked ? ['USD', 'BHD'] : ['EUR', 'EUR']),
      'USD',
      'BHD',
      ...(chance.below(4) === 0 ? ['PTS'] : []),
      ...(chance.below(20) === 0 ? ['XYZ'] : []),
    ]);
    const amount = this.amount();
    const lines = [
      { account: this.code(), side: 'debit' as const, amount, currency },
      { account: this.code(), side: 'credit' as const, amount, currency },
    ];
    const kind = chance.below(24);
    if (kind === 0) lines.pop();
    if (kind === 1) lines.push({ account: this.code(), side: 'debit', amount: '1', currency });
    if (kind === 2)
      lines.push(
        { account: this.code(), side: 'debit', amount: '7', currency: 'JPY' },
        { account: this.code(), side: 'credit', amount: '7', currency: 'JPY' },
      );
    if (kind === 3) lines.push(...lines.map((line) => ({ ...line, account: this.code() })));
    return {
      effectiveDate: this.date(),
      description: `entry ${this.serial}`,
      ...(chance.below(4) === 0 ? { journalCode: chance.pick(['GENERAL', 'CASH', 'CASH', 'NONE']) } : {}),
      ...(chance.below(4) === 0 ? { reference: `R${chance.below(3)}` } : {}),
      ...(chance.below(6) === 0 ? { entryType: 'adjusting' as const } : {}),
      ...this.wish(),
      lines: this.tracked ? this.valued(lines) : lines,
    };
  }

  /** What is to become of an entry in a closed period, where it is said. */
  private wish(): { readonly onClosedPeriod?: 'first_open_day' | 'refuse' } {
    const { chance } = this;
    return chance.below(3) === 0 ? { onClosedPeriod: chance.pick(['first_open_day', 'first_open_day', 'refuse'] as const) } : {};
  }

  private revaluation(): Command {
    const { chance } = this;
    const rateType = chance.below(3) === 0 ? { rateType: 'spot' as const } : {};
    return { type: 'Revalue', date: chance.pick(months).last, ...rateType, reason: 'simulated' };
  }

  /** One rate or a few, also of days that have one, now and then the very same once more. */
  private newRates(): Command {
    const { chance } = this;
    const rates = Array.from({ length: 1 + chance.below(3) }, () => {
      const from = chance.pick(['USD', 'USD', 'BHD', 'JPY', 'PTS', ...(chance.below(10) === 0 ? ['XYZ', 'EUR'] : [])]);
      const { first, last } = chance.pick(months);
      const [rateType, date] = chance.pick([['spot', first] as const, ['spot', this.date()] as const, ['closing', last] as const]);
      return { from, to: 'EUR', rateType, date, value: this.rate(from), source: chance.pick(['ECB', 'Bank']) };
    });
    const first = rates[0] as (typeof rates)[number];
    if (chance.below(6) === 0) rates.push({ ...first });
    if (chance.below(20) === 0) rates.push({ ...first, value: chance.pick(['0', '-1', '1e3', '0.000']) });
    return { type: 'RecordRates', rates };
  }

  /** Lines of an entry of a tracked book: some state their amount in base currency, some a rate, some leave it to the book. */
  private valued(lines: readonly EntryLine[]): EntryLine[] {
    const { chance } = this;
    const { currency } = lines[0] as EntryLine;
    const isBase = currency === 'EUR';
    const kind = chance.below(isBase ? 40 : 10);
    if (kind === 0) {
      // Only the value in base currency changes.
      const baseAmount = chance.pick(['0.05', '5', '1.005']);
      return lines.map((line) => ({ ...line, amount: '0', baseAmount }));
    }
    if (kind === 1) return lines.map((line) => ({ ...line, baseAmount: line.amount }));
    if (isBase) return [...lines];
    if (kind < 4) {
      const baseAmount = `${1 + chance.below(900)}.${10 + chance.below(90)}`;
      return lines.map((line) => ({ ...line, baseAmount: chance.below(15) === 0 ? '1' : baseAmount }));
    }
    const given = { rate: { value: this.rate(currency), date: '2026-01-01', source: 'contract' } };
    // One debit becomes two mostly, so that what is converted need not add up.
    const [debit, ...others] = lines as [EntryLine, ...EntryLine[]];
    const parts =
      chance.below(4) > 0 && /^[1-9]\d*(\.\d\d?)?$/.test(debit.amount)
        ? [...halves(debit.amount).map((amount) => ({ ...debit, amount })), ...others]
        : lines;
    return parts.map((line) => (kind < 7 ? { ...line, ...given } : line));
  }

  private entryId(): string {
    const { chance, model } = this;
    const place = chance.below(1_000_000) / 1_000_000;
    return model.entries[Math.floor(place * model.entries.length)]?.id ?? '01930000-0000-7000-8000-00000000dead';
  }

  private command(): Command {
    const { chance } = this;
    const kind = chance.below(100);
    const reason = 'simulated';
    if (kind < 3) {
      const level = chance.pick(['soft', 'soft', 'soft', 'hard'] as const);
      return { type: 'ClosePeriod', ...this.period(), level, includeEarlier: chance.below(3) > 0, reason };
    }
    if (kind < 9) return this.reopening(reason);
    if (this.tracked && kind < 14) return this.newRates();
    if (kind < 55) return { type: 'PostEntry', ...this.content() };
    if (kind < 63)
      return {
        type: 'PostEntries',
        atomic: chance.below(2) === 0,
        entries: Array.from({ length: 1 + chance.below(4) }, () => this.content()),
      };
    if (kind < 70) {
      const day = chance.below(3) === 0 ? {} : { effectiveDate: this.date(), ...this.wish() };
      return { type: 'ReverseEntry', entryId: this.entryId(), reason, ...day };
    }
    if (kind < 76) return { ...this.content(), type: 'CorrectEntry', entryId: this.entryId(), reason, effectiveDate: this.date() };
    const account = this.code();
    if (kind < 79) return { type: 'FreezeAccount', account };
    if (kind < 86) return { type: 'UnfreezeAccount', account: this.frozenCode() ?? account };
    if (kind < 88) return { type: 'RenameAccount', account, name: `name ${this.serial}` };
    if (kind < 91) {
      const code = chance.below(3) === 0 ? this.code() : `C${this.serial}`;
      this.codes.push(code);
      return { type: 'ChangeAccountCode', account, code };
    }
    if (kind < 92) return { type: 'CloseAccount', account };
    if (kind < 96) {
      const code = chance.below(4) === 0 ? this.code() : `N${this.serial}`;
      this.codes.push(code);
      const parent = chance.below(3) === 0 ? { parent: this.code() } : {};
      const limits =
        chance.below(4) === 0
          ? { limits: [{ currency: chance.pick(['EUR', 'BHD', 'XYZ']), min: chance.pick(['-50', '0', '-0.005']) }] }
          : {};
      return {
        type: 'OpenAccount',
        code,
        name: code,
        accountType: chance.pick(['asset', 'asset', 'liability', 'income']),
        contra: chance.below(5) === 0,
        ...parent,
        ...limits,
      };
    }
    if (this.tracked && kind < 97) return { type: 'DesignateAccount', role: 'rounding', account: chance.pick(['ROUND', 'E1', account]) };
    if (kind < 97) return { type: 'DefineJournal', journalCode: chance.pick(['CASH', 'BANK', 'GENERAL']), name: 'Day book' };
    if (kind < 99) return { type: 'EnableCurrency', code: chance.pick(['PTS', 'BHD', 'EUR']), scale: 4 };
    const year = chance.pick([2019, 2027, 2028, 2030]);
    // Whole months, and not always twelve: what it overlaps gives way where nothing is in it.
    const to = chance.pick([`${year}-12-31`, `${year}-12-31`, `${year + 1}-02-28`]);
    return { type: 'DefineFiscalYear', label: String(year), from: `${year}-01-01`, to };
  }

  // --- A burst, and what the model says of it ---

  private async burst(sent: readonly Sent[]): Promise<void> {
    const { chance } = this;
    for (const { command, key, actor } of sent)
      this.trace.push(`${key}${actor.isController ? ` by ${actor.userId.slice(-1)}` : ''} ${JSON.stringify(command)}`);
    const twice = sent.filter(() => chance.below(8) === 0);
    const [outcomes] = await Promise.all([Promise.all(sent.map((one) => this.send(one))), Promise.all(twice.map((one) => this.send(one)))]);
    this.figures.commands += sent.length;
    this.figures.repeats += twice.length;
    this.reconcile(outcomes.flat());
    if (chance.below(3) === 0) await this.repeatOld();
  }

  /** A process that lives, by chance. */
  private someProcess = (): Process => this.processes[this.serial++ % this.processes.length] as Process;

  /** Sends a command until its outcome is known. */
  private async send(sent: Sent): Promise<Outcome[]> {
    const { key } = sent;
    for (let attempt = 1; ; attempt++) {
      const process = this.someProcess();
      try {
        const answer = await process.execute(this.bookId, sent);
        this.remember(sent, answer);
        if (isUnsettled(answer.body)) {
          this.trace.push(`${key} again: part of it is unknown`);
          await sleep(5 * attempt);
          continue;
        }
        return outcomesOf(sent, answer);
      } catch (error) {
        const again = process.dead || !(error instanceof LedgerError) || error.kind === 'unavailable' || isConnectionFault(error);
        if (!again && error instanceof LedgerError && ['invalid', 'forbidden'].includes(error.kind))
          return [{ ...sent, refused: error.code }];
        if (!again || attempt === 30) throw error;
        this.trace.push(`${key} again: ${(error as Error).message}`);
        await sleep(5 * attempt);
      }
    }
  }

  /** I6: whoever repeats a key is told the same, byte for byte. */
  private remember({ key, command, actor }: Sent, { status, body }: Answer): void {
    const before = this.told.get(key);
    if (before !== undefined && (before.status !== status || !goesOnFrom(before.body, body)))
      throw new Error(`I6: ${key} was told ${before.body}, and now ${body}`);
    this.told.set(key, { command, actor, status, body });
  }

  private async repeatOld(): Promise<void> {
    // The key of the opening belongs to the scope ~system; in the book it is free.
    const known = [...this.told].filter(([, { command }]) => command.type !== 'OpenBook');
    const [key, { command, actor }] = this.chance.pick(known);
    const before = this.model.position;
    await this.send({ command, key, actor });
    const other: Command =
      this.chance.below(2) === 0
        ? { type: 'DefineJournal', journalCode: 'OTHER', name: 'Other' }
        : ({ ...command, reason: 'another' } as Command);
    try {
      await this.send({ command: other, key, actor });
    } catch (error) {
      if (!(error instanceof LedgerError) || error.code !== 'idempotency_key_reused') throw error;
      this.figures.repeats += 2;
      if (this.model.position !== before) throw new Error('a repeat has moved the model');
      return;
    }
    throw new Error(`I6: ${key} stands for ${JSON.stringify(command)} and was taken for ${JSON.stringify(other)} too`);
  }

  private reconcile(outcomes: readonly Outcome[]): void {
    const { model } = this;
    const accepted = outcomes.filter(({ refused }) => refused === undefined).sort((a, b) => firstOf(a.body) - firstOf(b.body));
    let open = outcomes.filter(({ refused }) => refused !== undefined);
    const whatModelSaid = new Map<Outcome, Set<string>>();
    const settle = (): void => {
      open = open.filter((outcome) => {
        const expected = model.expect(outcome.command, today(), outcome.actor);
        const says = 'refused' in expected ? expected.refused : 'done';
        const said = whatModelSaid.get(outcome) ?? new Set();
        whatModelSaid.set(outcome, said.add(says));
        return says !== outcome.refused;
      });
    };
    settle();
    for (const { command, key, actor, body } of accepted) {
      const recordedAt = recordedAtOf(body);
      const expected = model.expect(command, recordedAt.slice(0, 10), actor);
      if ('refused' in expected)
        throw new Error(`${key} was accepted, the model refuses it: ${expected.refused}; ${JSON.stringify([command, body])}`);
      const newest = model.written.at(-1)?.recordedAt ?? '';
      if (recordedAt < newest) throw new Error(`I10: ${key} was recorded at ${recordedAt}, after ${newest}`);
      compare(`${key} ${JSON.stringify(command)}`, told(body, expected), wanted(expected));
      expected.apply(idsOf(body), recordedAt);
      this.figures.accepted++;
      settle();
    }
    this.figures.refused += outcomes.length - accepted.length;
    this.figures.periods.refused += outcomes.filter(({ refused }) => refused === 'period_closed').length;
    const [unexplained] = open;
    if (unexplained !== undefined) {
      throw new Error(
        `${unexplained.key} was refused with ${unexplained.refused}; at no moment of its burst does the model, which said ${[...(whatModelSaid.get(unexplained) ?? [])]}: ${JSON.stringify(unexplained.command)}`,
      );
    }
  }

  // --- Questions ---

  private async askAll(count: number): Promise<void> {
    for (let question = 0; question < count; question++) {
      const kind = this.chance.pick(questionKinds);
      this.figures.questions++;
      await this[kind]();
    }
  }

  /** Asks until there is an answer: a connection that was cut is an error the first time. */
  private async ask<T>(question: (queries: Queries, reports: Reports) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.someProcess().ask(question);
      } catch (error) {
        if (error instanceof LedgerError || attempt === 10) throw error;
        await sleep(10 * attempt);
      }
    }
  }

  /** Nothing, a position, or an instant at which something was recorded, with the position that each means. */
  private knownAt(): { readonly knownAt?: string | number; readonly position: number } {
    const { chance, model } = this;
    const kind = chance.below(4);
    if (kind === 0) return { position: model.position };
    if (kind === 3 && model.closes.size > 0) {
      const [name, position] = chance.pick([...model.closes]);
      return { knownAt: name, position };
    }
    if (kind === 1) {
      const position = chance.below(model.position + 1);
      return { knownAt: position, position };
    }
    const { recordedAt } = chance.pick(model.written);
    return { knownAt: recordedAt, position: model.positionAt(recordedAt) };
  }

  private async balance(): Promise<void> {
    const { chance, model } = this;
    const account = chance.pick(model.accounts);
    const { knownAt, position } = this.knownAt();
    const asOf = chance.below(2) === 0 ? undefined : this.date();
    const code = chance.pick(account.codes).code;
    const what = `balance of ${code} asOf ${asOf} knownAt ${knownAt}`;
    const known = model.codeAt(account, position);
    const answer = await this.ask((queries) => queries.balance(this.bookId, code, { asOf, knownAt })).catch(
      (error: LedgerError) => error.code,
    );
    if (known === undefined) return compare(what, answer, 'account_unknown');
    compare(what, plain(answer), plain({ account: known, asOf, knownAt, position, balances: this.shown(account, asOf, position) }));
  }

  private shown(account: ModelAccount, asOf: string | undefined, position: number): object[] {
    const { model } = this;
    return model.totals(account, asOf, position).map(({ currency, scale, debit, credit }) => {
      const four = (sum: { readonly debit: bigint; readonly credit: bigint }, decimals: number): string[] => {
        const net = sum.debit - sum.credit;
        return [sum.debit, sum.credit, net, account.debitNormal ? net : -net].map((amount) => decimal(amount, decimals));
      };
      const [own, base] = [
        four({ debit, credit }, scale),
        four(model.baseTotals(account, asOf, position, currency), model.scaleOf('EUR') ?? 0),
      ];
      return {
        ...{ currency, debit: own[0], credit: own[1], net: own[2], balance: own[3] },
        ...(this.tracked && { baseDebit: base[0], baseCredit: base[1], baseNet: base[2], baseBalance: base[3] }),
      };
    });
  }

  /** I8, on both axes. */
  private async trial(): Promise<void> {
    const { model } = this;
    const { knownAt, position } = this.knownAt();
    const asOf = this.chance.below(2) === 0 ? undefined : this.date();
    const limit = this.chance.pick([1, 3, 1_000]);
    const rows: { account: string; currency: string; debit: string; credit: string }[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await this.ask((queries) => queries.balances(this.bookId, { asOf, knownAt, includeZero: true, limit, cursor }));
      compare('position of a trial balance', page.position, position);
      rows.push(...page.balances);
      cursor = page.nextCursor;
      if (cursor === undefined) break;
    }
    const expected = model.accounts
      .flatMap((account) =>
        this.shown(account, asOf, position).map((balance) => ({ account: model.codeAt(account, position) ?? '', ...balance })),
      )
      .sort((a, b) => Buffer.compare(Buffer.from(a.account), Buffer.from(b.account)));
    compare(`balances asOf ${asOf} knownAt ${knownAt}`, plain(rows), plain(expected));
    const sums = new Map<string, bigint>();
    for (const { currency, debit, credit } of rows) sums.set(currency, (sums.get(currency) ?? 0n) + digits(debit) - digits(credit));
    if ([...sums.values()].some((sum) => sum !== 0n)) throw new Error(`I8: ${JSON.stringify(rows)}`);
  }

  /** The trial balance of a range since inception: opening, debit, credit and closing of every account. */
  private async trialBalance(): Promise<void> {
    const { chance, model } = this;
    const { knownAt, position } = this.knownAt();
    if (position === 0) return;
    const [from, to] = [this.date(), this.date()].sort() as [string, string];
    const eve = new Date(Date.parse(from) - 86_400_000).toISOString().slice(0, 10);
    const carry = chance.pick(['none', 'fiscalYear'] as const);
    const report = await this.ask(async (_queries, reports) => {
      const { body } = await reports.answer('trial-balance', this.bookId, { from, to, knownAt, carry: 'none', includeZero: true }, 'json');
      if (carry === 'none') return JSON.parse(body as string) as TrialBalance;
      // However income and expense are carried, debits equal credits (I8). A calendar made by hand may not cover the days.
      const carried = await reports
        .answer('trial-balance', this.bookId, { from, to, knownAt }, 'json')
        .catch((error: LedgerError) => error);
      if (carried instanceof LedgerError) compare('refusal of a trial balance', carried.code, 'no_fiscal_year');
      else compare('I8', (JSON.parse(carried.body as string) as TrialBalance).balanced, true);
      return JSON.parse(body as string) as TrialBalance;
    });
    const what = `trial balance ${from} … ${to} knownAt ${knownAt}`;
    compare(`position of ${what}`, [report.position, report.balanced], [position, true]);
    const ours = report.rows.flatMap(({ account, currency, figures, own = figures }) =>
      own.map(({ opening, debit, credit, closing }) => [account, currency, opening, debit, credit, closing].join(' ')),
    );
    const expected = model.accounts.flatMap((account) =>
      model.totals(account, to, position).map(({ currency, scale, debit, credit }) => {
        const before = model.totals(account, eve, position).find((total) => total.currency === currency) ?? { debit: 0n, credit: 0n };
        const amounts = [before.debit - before.credit, debit - before.debit, credit - before.credit, debit - credit];
        return [model.codeAt(account, position), currency, ...amounts.map((amount) => decimal(amount, scale))].join(' ');
      }),
    );
    // A parent shows the currencies of what is below it, with nothing of its own.
    const told = ours.filter((row) => !/( -?0(\.0+)?){4}$/.test(row) || expected.includes(row));
    compare(what, told.sort(), expected.sort());
    if (this.tracked) await this.inBase({ from, to, eve, knownAt, position });
  }

  /** The same range by the amounts in base currency that the lines carry. */
  private async inBase({
    from,
    to,
    eve,
    knownAt,
    position,
  }: Record<'from' | 'to' | 'eve', string> & ReturnType<Simulation['knownAt']>): Promise<void> {
    const { model } = this;
    const question = { from, to, knownAt, carry: 'none', in: 'EUR', includeZero: true } as const;
    const report = await this.ask(async (_queries, reports) => {
      const { body } = await reports.answer('trial-balance', this.bookId, question, 'json');
      return JSON.parse(body as string) as TrialBalance;
    });
    const ours = new Map(report.rows.map(({ account, figures, own = figures }) => [account, own[0]]));
    const scale = model.scaleOf('EUR') ?? 0;
    for (const account of model.accounts) {
      const code = model.codeAt(account, position);
      if (code === undefined || model.totals(account, to, position).length === 0) continue;
      const [before, upTo] = [model.baseTotals(account, eve, position), model.baseTotals(account, to, position)];
      const amounts = [before.debit - before.credit, upTo.debit - before.debit, upTo.credit - before.credit, upTo.debit - upTo.credit];
      const { opening, debit, credit, closing } = ours.get(code) ?? {};
      compare(
        `${code} in base currency, ${from} … ${to} knownAt ${knownAt}`,
        [opening, debit, credit, closing],
        amounts.map((amount) => decimal(amount, scale)),
      );
    }
    compare(`balance in base currency, ${from} … ${to} knownAt ${knownAt}`, report.balanced, true);
  }

  private async statement(): Promise<void> {
    const { chance, model } = this;
    const account = chance.pick(model.accounts);
    const { knownAt, position } = this.knownAt();
    if (model.codeAt(account, position) === undefined) return;
    const [from, to] = [this.date(), this.date()].sort() as [string, string];
    const limit = chance.pick([2, 100]);
    const lines: {
      entryId: string;
      line: number;
      position: number;
      runningBalance: string;
      runningBaseBalance?: string;
      currency: string;
    }[] = [];
    let closing: readonly object[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await this.ask((_queries, reports) =>
        askStatement(reports, this.bookId, account.codes[0]?.code ?? '', { from, to, knownAt, carry: 'none', limit, cursor }),
      );
      lines.push(...page.lines);
      closing = page.closing;
      cursor = page.nextCursor;
      if (cursor === undefined) break;
    }
    const expected = model.lines
      .filter((line) => line.account === account && line.date >= from && line.date <= to && line.position <= position)
      .sort((a, b) => (a.date === b.date ? a.position - b.position || a.line - b.line : a.date < b.date ? -1 : 1));
    const what = `statement of ${account.codes[0]?.code} ${from} … ${to} knownAt ${knownAt}`;
    compare(
      what,
      lines.map(({ entryId, line }) => `${entryId}/${line}`),
      expected.map(({ entryId, line }) => `${entryId}/${line}`),
    );
    compare(`closing of ${what}`, plain(closing), plain(this.shown(account, to, position)));
    for (const { currency, balance, baseBalance } of this.shown(account, to, position) as CurrencyBalance[]) {
      const ending = lines.findLast((line) => line.currency === currency);
      if (ending !== undefined)
        compare(`running balance of ${what}`, [ending.runningBalance, ending.runningBaseBalance], [balance, baseBalance]);
    }
  }

  private async search(): Promise<void> {
    const { chance, model } = this;
    const { knownAt, position } = this.knownAt();
    const account = chance.below(2) === 0 ? undefined : chance.pick(model.accounts);
    const [from, to] = chance.below(2) === 0 ? [undefined, undefined] : ([this.date(), this.date()].sort() as [string, string]);
    const reference = chance.below(4) === 0 ? 'R1' : undefined;
    const journalCode = chance.below(4) === 0 ? 'CASH' : undefined;
    const sort = chance.pick(['position', 'effectiveDate'] as const);
    const limit = chance.pick([3, 1_000]);
    const filters = {
      from,
      to,
      reference,
      journalCode,
      sort,
      limit,
      knownAt,
      ...(account === undefined ? {} : { account: account.codes[0]?.code ?? '' }),
    };
    const found: { id: string; reversedBy?: string; number: number }[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await this.ask((queries) => queries.entries(this.bookId, { ...filters, cursor }));
      found.push(...page.entries);
      cursor = page.nextCursor;
      if (cursor === undefined) break;
    }
    const expected = model.entries
      .filter((entry) => entry.position <= position && (from === undefined || (entry.date >= from && entry.date <= (to ?? ''))))
      .filter(
        (entry) =>
          (reference === undefined || entry.reference === reference) && (journalCode === undefined || entry.journal === journalCode),
      )
      .filter((entry) => account === undefined || entry.lines.some((line) => line.account === account))
      .sort((a, b) => (sort === 'position' || a.date === b.date ? a.position - b.position : a.date < b.date ? -1 : 1));
    const reversed = (entry: (typeof expected)[number]): string | undefined =>
      entry.reversed !== undefined && entry.reversed.at <= position ? entry.reversed.by : undefined;
    compare(
      `entries ${JSON.stringify(filters)}`,
      found.map(({ id, reversedBy, number }) => `${id} ${number} ${reversedBy}`),
      expected.map((entry) => `${entry.id} ${entry.number} ${reversed(entry)}`),
    );
  }

  private async entry(): Promise<void> {
    const { model } = this;
    const entry = model.entries[this.chance.below(Math.max(1, model.entries.length))];
    if (entry === undefined) return;
    const { knownAt, position } = this.knownAt();
    const answer = await this.ask((queries) => queries.entry(this.bookId, entry.id, { knownAt })).catch((error: LedgerError) => error.code);
    if (entry.position > position) return compare(`entry ${entry.id} knownAt ${knownAt}`, answer, 'entry_unknown');
    if (typeof answer === 'string') throw new Error(`entry ${entry.id} knownAt ${knownAt}: ${answer}`);
    const { journalCode, fiscalYear, number, effectiveDate, entryType, lines, reversedBy } = answer;
    compare(
      `entry ${entry.id} knownAt ${knownAt}`,
      [
        answer.position,
        journalCode,
        fiscalYear,
        number,
        effectiveDate,
        entryType,
        reversedBy,
        ...lines.map(({ account, side, amount, currency, baseAmount }) => [
          account,
          side,
          digits(amount),
          currency,
          baseAmount && digits(baseAmount),
        ]),
      ],
      [
        entry.position,
        entry.journal,
        entry.year,
        entry.number,
        entry.date,
        entry.type,
        entry.reversed !== undefined && entry.reversed.at <= position ? entry.reversed.by : undefined,
        ...entry.lines.map(({ account, side, minor, currency, base }) => [model.codeAt(account, position), side, minor, currency, base]),
      ],
    );
  }

  private async chart(): Promise<void> {
    const { model } = this;
    const { knownAt, position } = this.knownAt();
    const { accounts } = await this.ask((queries) => queries.accounts(this.bookId, { knownAt, limit: 1_000 }));
    const expected = model.accounts
      .filter((account) => model.codeAt(account, position) !== undefined)
      .map((account) => [model.codeAt(account, position), model.nameAt(account, position), model.statusAt(account, position), account.type])
      .sort((a, b) => Buffer.compare(Buffer.from(String(a[0])), Buffer.from(String(b[0]))));
    compare(
      `accounts knownAt ${knownAt}`,
      accounts.map(({ code, name, status, type }) => [code, name, status, type]),
      expected,
    );
  }

  // --- Invariants ---

  private async check(): Promise<void> {
    const { events, accounts } = await checkBook(this.admin, this.bookId);
    compare('events in the log', events.length, this.model.position);
    this.figures.events = events.length;
    const count = (type: string): number => events.filter(({ eventType }) => eventType === type).length;
    const moved = events.filter(({ data }) => 'requestedDate' in data).length;
    const revalued = events.filter(({ eventType, data }) => eventType === 'JournalEntryPosted' && data.entryType === 'revaluation').length;
    const rounded = events.filter(({ data }) => JSON.stringify(data.lines ?? '').includes('book-keeper:rounding')).length;
    Object.assign(this.figures.rates, { recorded: count('ExchangeRateRecorded'), rounded, revalued });
    Object.assign(this.figures.periods, { closed: count('PeriodClosed'), reopened: count('PeriodReopened'), moved });
    for (const account of this.model.accounts) {
      const code = this.model.codeAt(account, this.model.position);
      const kept = [...accounts.values()].find((known) => known.code === code);
      const totals = kept?.totals
        .map(({ currency, scale, debit, credit }) => ({ currency, scale, debit, credit }))
        .sort((a, b) => (a.currency < b.currency ? -1 : 1));
      compare(`totals of ${code}`, totals, this.model.totals(account));
    }
    const { books, installation } = await verifyBooks(this.pool, { books: [this.bookId] });
    const findings = [...installation, ...books.flatMap((book) => book.findings)].map(({ message }) => message);
    compare('what verify finds', findings, []);
    await this.askAll(4);
  }
}

/** Of the years that entries are dated in. */
const months = Array.from({ length: 36 }, (_, month) => {
  const day = (of: number, date: number): string => new Date(Date.UTC(2025, of, date)).toISOString().slice(0, 10);
  return { first: day(month, 1), last: day(month + 1, 0) };
});

/** An amount in two parts, the first one a third. */
function halves(amount: string): [string, string] {
  const [whole = '', decimals = ''] = amount.split('.');
  const minor = BigInt(whole + decimals);
  return [decimal(minor / 3n, decimals.length), decimal(minor - minor / 3n, decimals.length)];
}

const questionKinds = ['balance', 'balance', 'trial', 'trialBalance', 'statement', 'search', 'entry', 'chart'] as const;
const faultNames = [
  'connections cut',
  'answers lost',
  'backends terminated',
  'process killed',
  'process restarted',
  'clock turned',
  'projector stopped',
  'projections emptied',
] as const;

const today = (): string => new Date().toISOString().slice(0, 10);

/** A fault of the connection that the ledger could not tell from one of its own. */
const isConnectionFault = (error: LedgerError): boolean =>
  error.kind === 'internal' && /connect|terminat|timeout|closed/i.test(String((error.cause as Error | undefined)?.message));

// biome-ignore lint/suspicious/noExplicitAny: answers have many shapes
type Body = any;

function outcomesOf({ command, key, actor }: Sent, { status, body }: Answer): Outcome[] {
  const answer = JSON.parse(body) as Body;
  if (status >= 400) return [{ command, key, actor, refused: answer.code }];
  if (command.type !== 'PostEntries' || command.atomic) return [{ command, key, actor, body: answer }];
  return command.entries.map((entry, index): Outcome => {
    const result = answer.results[index];
    const single = { ...entry, type: 'PostEntry' as const };
    return {
      command: single,
      key: `${key}/${index + 1}`,
      actor,
      ...(result.problem === undefined ? { body: result } : { refused: result.problem.code }),
    };
  });
}

const isUnsettled = (body: string): boolean => body.includes('"code":"database_unavailable"');

/** Whether an answer is the one before, byte for byte; of a batch call that met a fault, in the entries that had an outcome. */
function goesOnFrom(before: string, now: string): boolean {
  if (!isUnsettled(before)) return before === now;
  const [earlier, later] = [before, now].map((body) => (JSON.parse(body) as Body).results as Body[]) as [Body[], Body[]];
  return earlier.every((result, index) => result.problem?.code === 'database_unavailable' || isDeepStrictEqual(result, later[index]));
}

const firstOf = (body: Body): number => body.reversal?.position ?? (body.results ?? body.entries)?.[0]?.position ?? body.position;
const recordedAtOf = (body: Body): string => body.recordedAt ?? body.results?.[0]?.recordedAt;
const entriesOf = (body: Body): Body[] => body.results ?? body.entries ?? (body.reversal === undefined ? [body] : [body.reversal, body]);
const idsOf = (body: Body): string[] => entriesOf(body).map(({ id }) => id);
const told = (body: Body, expected: Expected): unknown =>
  'entries' in expected && expected.entries.length > 0
    ? entriesOf(body).map(({ position, number }) => ({ position, number }))
    : body.position;
const wanted = (expected: Expected): unknown =>
  'entries' in expected
    ? expected.entries.length > 0
      ? expected.entries.map(({ position, number }) => ({ position, number }))
      : expected.first
    : undefined;

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown;
const digits = (amount: string): bigint => BigInt(amount.replace('.', ''));

function compare(what: string, is: unknown, should: unknown): void {
  if (isDeepStrictEqual(is, should)) return;
  const text = (value: unknown): string => JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? String(part) : part));
  throw new Error(`${what}\n  is      ${text(is)}\n  must be ${text(should)}`);
}
