/**
 * Tables: a book as rows and columns, for every format that has such (csv, xlsx, parquet). Hides how entries, accounts and balances
 * become rows; guarantees that all these formats have the same columns with the same content, that opening + debit − credit is
 * closing in every row of balances, and that no more than a page of lines is held. What kind a column is of says what its text is:
 * a format writes it in its own way.
 */
import { fromMinor } from '#domain';
import type { AccountAnswer, EntryAnswer } from '../queries';
import { baseScaleOf, net } from '../reports/figures';
import type { AccountMovement, ExportedBook } from './exported-book';

/**
 * text; number: a whole number below 2^53; date: YYYY-MM-DD; instant: RFC 3339 in UTC with six decimals; amount: a plain decimal with
 * the decimals of its currency, with a sign where it may be negative; json: a JSON text.
 */
export type Kind = 'text' | 'number' | 'date' | 'instant' | 'amount' | 'json';

export interface TableColumn<Row> {
  readonly name: string;
  readonly kind: Kind;
  /** A number in columns of that kind, text in others. */
  of(row: Row): string | number | undefined;
}

/** One line with the entry that it belongs to. */
export interface LineRow {
  readonly entry: EntryAnswer;
  readonly line: EntryAnswer['lines'][number];
  readonly accountName: string;
  readonly baseCurrency: string;
}

const json = (value: unknown): string | undefined => (value === undefined ? undefined : JSON.stringify(value));

const column =
  <Row>(kind: Kind) =>
  (name: string, of: TableColumn<Row>['of']): TableColumn<Row> => ({ name, kind, of });

const kinds = <Row>() => ({
  text: column<Row>('text'),
  number: column<Row>('number'),
  date: column<Row>('date'),
  instant: column<Row>('instant'),
  amount: column<Row>('amount'),
  json: column<Row>('json'),
});

const ofLine = kinds<LineRow>();

export const lineColumns: readonly TableColumn<LineRow>[] = [
  ofLine.number('position', ({ entry }) => entry.position),
  ofLine.instant('recordedAt', ({ entry }) => entry.recordedAt),
  ofLine.text('entryId', ({ entry }) => entry.id),
  ofLine.text('journalCode', ({ entry }) => entry.journalCode),
  ofLine.text('fiscalYear', ({ entry }) => entry.fiscalYear),
  ofLine.number('period', ({ entry }) => entry.period),
  ofLine.number('number', ({ entry }) => entry.number),
  ofLine.date('effectiveDate', ({ entry }) => entry.effectiveDate),
  ofLine.date('requestedDate', ({ entry }) => entry.requestedDate),
  ofLine.text('entryType', ({ entry }) => entry.entryType),
  ofLine.text('entryMethod', ({ entry }) => entry.entryMethod),
  ofLine.text('userId', ({ entry }) => entry.userId),
  ofLine.text('description', ({ entry }) => entry.description),
  ofLine.text('reference', ({ entry }) => entry.reference),
  ofLine.text('documentType', ({ entry }) => entry.document?.type),
  ofLine.text('documentNumber', ({ entry }) => entry.document?.number),
  ofLine.date('documentDate', ({ entry }) => entry.document?.date),
  ofLine.text('documentUri', ({ entry }) => entry.document?.uri),
  ofLine.text('documentSha256', ({ entry }) => entry.document?.sha256),
  ofLine.text('reverses', ({ entry }) => entry.links?.find(({ rel }) => rel === 'reverses')?.entryId),
  ofLine.text('reversedBy', ({ entry }) => entry.reversedBy),
  ofLine.number('line', ({ line }) => line.line),
  ofLine.text('account', ({ line }) => line.account),
  ofLine.text('accountName', ({ accountName }) => accountName),
  ofLine.text('accountId', ({ line }) => line.accountId),
  ofLine.text('accountWhenPosted', ({ line }) => line.code),
  ofLine.amount('debit', ({ line }) => (line.side === 'debit' ? line.amount : undefined)),
  ofLine.amount('credit', ({ line }) => (line.side === 'credit' ? line.amount : undefined)),
  ofLine.text('currency', ({ line }) => line.currency),
  ofLine.amount('baseDebit', ({ line }) => (line.side === 'debit' ? line.baseAmount : undefined)),
  ofLine.amount('baseCredit', ({ line }) => (line.side === 'credit' ? line.baseAmount : undefined)),
  ofLine.text('baseCurrency', ({ line, baseCurrency }) => (line.baseAmount === undefined ? undefined : baseCurrency)),
  ofLine.text('lineDescription', ({ line }) => line.description),
  ofLine.text('lineReference', ({ line }) => line.reference),
  ofLine.text('partyId', ({ line }) => line.party?.id),
  ofLine.text('partyKind', ({ line }) => line.party?.kind),
  ofLine.date('dueDate', ({ line }) => line.dueDate),
  ofLine.date('valueDate', ({ line }) => line.valueDate),
  ofLine.text('origin', ({ line }) => line.origin),
  ofLine.json('dimensions', ({ line }) => json(line.dimensions)),
  ofLine.json('tax', ({ line }) => json(line.tax)),
  ofLine.json('quantity', ({ line }) => json(line.quantity)),
  ofLine.json('rate', ({ line }) => json(line.rate)),
  ofLine.json('source', ({ entry }) => json(entry.source)),
  ofLine.json('links', ({ entry }) => json(entry.links)),
  ofLine.json('metadata', ({ entry }) => json(entry.metadata)),
];

/** Lines of the range in the order of their entries' positions, a page at a time. */
export async function* lineRows(book: ExportedBook): AsyncGenerator<readonly LineRow[]> {
  const names = new Map<string, string>();
  for await (const accounts of book.accounts()) for (const { id, name } of accounts) names.set(id, name);
  const baseCurrency = book.state?.baseCurrency ?? '';
  for await (const entries of book.entries())
    yield entries.flatMap((entry) =>
      entry.lines.map((line) => ({ entry, line, accountName: names.get(line.accountId) ?? '', baseCurrency })),
    );
}

const ofAccount = kinds<AccountAnswer>();

export const accountColumns: readonly TableColumn<AccountAnswer>[] = [
  ofAccount.text('account', ({ code }) => code),
  ofAccount.text('accountId', ({ id }) => id),
  ofAccount.text('name', ({ name }) => name),
  ofAccount.text('type', ({ type }) => type),
  ofAccount.text('subtype', ({ subtype }) => subtype),
  ofAccount.text('normalSide', ({ normalSide }) => normalSide),
  ofAccount.text('postable', ({ postable }) => String(postable)),
  ofAccount.text('status', ({ status }) => status),
  ofAccount.text('parent', ({ parent }) => parent),
  ofAccount.text('subledger', ({ subledger }) => subledger),
  ofAccount.text('control', ({ control }) => control),
  ofAccount.text('cashFlow', ({ cashFlow }) => cashFlow),
  ofAccount.json('currencies', ({ currencies }) => json(currencies)),
  ofAccount.json('limits', ({ limits }) => json(limits)),
  ofAccount.json('mappings', ({ mappings }) => json(mappings)),
  ofAccount.json('metadata', ({ metadata }) => json(metadata)),
];

/** Balances of one account in one currency; base amounts in a book with fx=tracked only. */
interface BalanceRow extends AccountMovement {
  readonly baseScale?: number;
  readonly baseCurrency: string;
}

const ofBalance = kinds<BalanceRow>();
const inBase = (of: (row: BalanceRow) => bigint) => (row: BalanceRow) =>
  row.baseScale === undefined ? undefined : fromMinor(of(row), row.baseScale);

/** opening and closing are debit − credit. */
export const balanceColumns: readonly TableColumn<BalanceRow>[] = [
  ofBalance.text('account', ({ account }) => account.code),
  ofBalance.text('name', ({ account }) => account.name),
  ofBalance.text('type', ({ account }) => account.type),
  ofBalance.text('currency', ({ currency }) => currency),
  ofBalance.amount('opening', ({ opening, scale }) => fromMinor(net(opening), scale)),
  ofBalance.amount('debit', ({ movement, scale }) => fromMinor(movement.debit, scale)),
  ofBalance.amount('credit', ({ movement, scale }) => fromMinor(movement.credit, scale)),
  ofBalance.amount('closing', ({ closing, scale }) => fromMinor(net(closing), scale)),
  ofBalance.amount(
    'baseOpening',
    inBase(({ baseOpening }) => net(baseOpening)),
  ),
  ofBalance.amount(
    'baseDebit',
    inBase(({ baseMovement }) => baseMovement.debit),
  ),
  ofBalance.amount(
    'baseCredit',
    inBase(({ baseMovement }) => baseMovement.credit),
  ),
  ofBalance.amount(
    'baseClosing',
    inBase(({ baseClosing }) => net(baseClosing)),
  ),
  ofBalance.text('baseCurrency', ({ baseScale, baseCurrency }) => (baseScale === undefined ? undefined : baseCurrency)),
];

/** Since inception (carry none), as `balances` is: income and expense are not carried into equity at the end of a year. */
export async function* balanceRows({ balances, state }: ExportedBook): AsyncGenerator<readonly BalanceRow[]> {
  if (state === undefined) return;
  const [baseScale, { baseCurrency }] = [baseScaleOf(state), state];
  yield (await balances('none')).rows.map((row) => ({ ...row, baseScale, baseCurrency }));
}

/** The cells of a row, in the order of the columns. */
export const cellsOf = <Row>(columns: readonly TableColumn<Row>[], row: Row): (string | number | undefined)[] =>
  columns.map(({ of }) => of(row));
