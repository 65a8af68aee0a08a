/**
 * The format `saf-t-no`: SAF-T Financial of the Norwegian tax office (Skatteetaten), version 1.30, as its schema
 * Norwegian_SAF-T_Financial_Schema_v_1.30.xsd has it. Hides XML, the schema's lengths and digits, and that totals, parties, tax
 * codes and analyses stand before the entries that they come from. Guarantees a file that is valid by the schema, whose amounts are
 * the book's own; what the schema cannot hold is named before anything is written.
 *
 * Of one fiscal year or a part of it. TransactionDate is the effective date; GLPostingDate, SystemEntryDate (UTC) and
 * SystemEntryTime are when the entry was recorded. Names of people are in no book, so customers and suppliers are named by
 * their ids, and the contact of the company is the company. What is written is read twice: first for what stands before the entries.
 * XML has no mark for escapes and the schema cuts names: the map of names tells what they stand for.
 */
import { createHash } from 'node:crypto';
import { type BookState, canonicalDecimal, convert, decimalsOf, fromMinor, type JournalType, scaleOf, toMinor } from '#domain';
import type { ExportFormat, Renamed } from '../exports';
import type { EntryAnswer } from '../queries';
import { entryNumber, sortedByKey } from '../reports/figures';
import { escaped, hazards } from './escapes';
import type { ExportedBook } from './exported-book';
import {
  type BaseBalances,
  baseAmountOf,
  baseBalances,
  byAccount,
  noBalances,
  oncePerBook,
  Problems,
  yearOfRange,
} from './in-base-currency';

type Line = EntryAnswer['lines'][number];

/** Raised when the same book comes to be written otherwise: a newer release that writes the same must give the same bytes. */
const writerVersion = '1';

/** The scheme of an account's mapping that says its grouping: `category` and `code` of the tax office's code lists. */
const scheme = 'saf-t-no';

/** Longest texts of the schema's types, in characters. */
const sizes = { code: 9, short: 18, middle1: 35, middle2: 70, long: 256 } as const;

/** Kinds of day books; GL, AR and AP are the schema's examples for its element Type. */
const journalKinds: Readonly<Record<JournalType, string>> = {
  general: 'GL',
  sales: 'AR',
  purchases: 'AP',
  cash: 'CASH',
  bank: 'BANK',
  payroll: 'PAYROLL',
  other: 'OTHER',
};

export const saftNo: ExportFormat = {
  title: 'SAF-T Financial 1.30 of the Norwegian tax office, of one fiscal year or a part of it (from, to)',
  extension: 'xml',
  mediaType: 'application/xml; charset=utf-8',
  problems: async (book) => (await survey(book)).problems,
  write: writeSaftNo,
  names: { others: renamed },
};

/** What stands before the entries, and what speaks against writing them. */
interface Survey {
  readonly problems: readonly string[];
  readonly balances: BaseBalances;
  /** Ids of parties by kind. */
  readonly customers: ReadonlySet<string>;
  readonly suppliers: ReadonlySet<string>;
  readonly taxCodes: ReadonlySet<string>;
  /** Values by key. */
  readonly analyses: ReadonlyMap<string, ReadonlySet<string>>;
}

const survey = oncePerBook(async (book: ExportedBook): Promise<Survey> => {
  const problems = new Problems();
  const [customers, suppliers, taxCodes] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const analyses = new Map<string, Set<string>>();
  const year = yearOfRange(book);
  const { state } = book;
  if (typeof year === 'string' || state === undefined) {
    if (typeof year === 'string') problems.note(year);
    return { problems: problems.texts, balances: noBalances, customers, suppliers, taxCodes, analyses };
  }
  checkHeader(state, problems);
  for (const { journalCode } of await book.counts()) checkText(problems, `journal ${journalCode}`, 'JournalID', journalCode, 'short');
  if (year.to < '1970' || year.to > '2101')
    problems.note(`fiscal year ${year.label} ends on ${year.to}, and PeriodYear takes 1970 to 2100`);
  const balances = await baseBalances(book);
  problems.note(...balances.problems);
  checkAccounts(balances, problems);
  for (const side of ['debit', 'credit'] as const) checkAmount(problems, 'the total of a side', totalOf(balances, side));
  for await (const entries of book.entries()) {
    if (problems.full) break;
    for (const entry of entries) {
      checkEntry(entry, state, problems);
      for (const line of entry.lines) {
        const { party, tax = [] } = line;
        if (party?.kind === 'customer') customers.add(party.id);
        if (party?.kind === 'supplier') suppliers.add(party.id);
        for (const { code } of tax) taxCodes.add(code);
        for (const { key, value } of analysesOf(line)) analyses.set(key, (analyses.get(key) ?? new Set()).add(value));
      }
    }
  }
  checkNames(analyses, problems);
  return { problems: problems.texts, balances, customers, suppliers, taxCodes, analyses };
});

// --- What the schema cannot hold ---

function checkText(problems: Problems, what: string, element: string, value: string | undefined, size: keyof typeof sizes): void {
  if (value === undefined) return;
  const length = [...writable(value)].length;
  if (length > sizes[size]) problems.note(`${what} has ${length} characters, and ${element} takes ${sizes[size]}`);
}

/** @param amount plain decimal, `-` in front where negative */
function checkAmount(problems: Problems, what: string, amount: string): void {
  if (monetary(amount) === undefined) problems.note(`${what} is ${amount}, and amounts have at most 2 decimals and 18 digits`);
}

function checkHeader({ entity, baseCurrency }: BookState, problems: Problems): void {
  if (baseCurrency.length !== 3) problems.note(`the base currency ${baseCurrency} has no code of three letters (ISO 4217)`);
  if (entity === undefined)
    problems.note(
      'the book says nothing of its legal entity, and Company needs its name and its registration number: both are given when a book is opened (entity.legalName, entity.registrationNumber)',
    );
  else {
    const { legalName, registrationNumber, taxNumbers = [] } = entity;
    if (registrationNumber === undefined)
      problems.note(
        `${legalName} has no registration number, and Company needs one: it is given when a book is opened (entity.registrationNumber)`,
      );
    checkText(problems, `the registration number ${registrationNumber}`, 'RegistrationNumber', registrationNumber, 'middle1');
    checkText(problems, `the legal name ${legalName}`, 'LastName of the contact', legalName, 'middle2');
    for (const number of taxNumbers) checkText(problems, `the tax number ${number}`, 'TaxRegistrationNumber', number, 'middle1');
    for (const [element, value] of Object.entries(addressParts(entity)))
      checkText(problems, `the address "${value}"`, element, value, element === 'PostalCode' ? 'middle2' : 'long');
  }
}

function checkAccounts({ rows, scale }: BaseBalances, problems: Problems): void {
  for (const { account, opening, closing } of byAccount(rows)) {
    const { code, name } = account;
    checkText(problems, `account ${code}`, 'AccountID', code, 'middle2');
    checkText(problems, `the name of account ${code}`, 'AccountDescription', name, 'long');
    const { category, code: grouping } = groupingOf(account) ?? {};
    if (category === undefined || grouping === undefined)
      problems.note(
        `account ${code} has no mapping of scheme ${scheme} with a category and a code, which GroupingCategory and GroupingCode come from (such as RF-1167 and 1920): they are given when an account is opened (mappings)`,
      );
    checkText(problems, `the grouping category of account ${code}`, 'GroupingCategory', category, 'long');
    checkText(problems, `the grouping code of account ${code}`, 'GroupingCode', grouping, 'middle1');
    checkAmount(problems, `the opening balance of account ${code}`, fromMinor(opening, scale));
    checkAmount(problems, `the closing balance of account ${code}`, fromMinor(closing, scale));
  }
}

function checkEntry(entry: EntryAnswer, state: BookState, problems: Problems): void {
  const at = `entry ${entryNumber(entry)}`;
  checkText(problems, at, 'TransactionID', entryNumber(entry), 'middle2');
  checkText(problems, `the description of ${at}`, 'Description', entry.description, 'long');
  checkText(problems, `the document or reference of ${at}`, 'SourceDocumentID', documentOf(entry), 'middle1');
  for (const line of entry.lines) {
    const place = `line ${line.line} of ${at}`;
    checkText(problems, `the description of ${place}`, 'Description', line.description, 'long');
    checkText(problems, `the reference of ${place}`, 'ReferenceNumber', line.reference, 'middle1');
    checkText(problems, `the party of ${place}`, 'CustomerID or SupplierID', partyOf(line)?.id, 'middle1');
    const amount = baseAmountOf(line, state.baseCurrency);
    // Of a currency that has none at all, baseBalances tells.
    if (amount !== undefined) checkAmount(problems, `${place} in ${state.baseCurrency}`, amount);
    if (line.currency !== state.baseCurrency) {
      checkAmount(problems, `${place} in ${line.currency}`, line.amount);
      if (line.currency.length !== 3) problems.note(`the currency ${line.currency} has no code of three letters (ISO 4217)`);
    }
    if (line.quantity !== undefined && !fits(line.quantity.value, 6, 22))
      problems.note(`the quantity of ${place} is ${line.quantity.value}, and Quantity has at most 6 decimals and 22 digits`);
    for (const tax of line.tax ?? []) {
      checkText(problems, `tax code ${tax.code}`, 'TaxCode', tax.code, 'middle2');
      const known = taxIn(line, tax, state);
      if (known === undefined)
        problems.note(
          `the tax ${tax.code} of ${place} is in ${line.currency}, and the line says no rate to ${state.baseCurrency}: post such lines with their rate`,
        );
      else checkAmount(problems, `the tax ${tax.code} of ${place}`, known.amount);
    }
  }
}

/** Two names that were cut to the same one would be told apart by nobody. */
function checkNames(analyses: Survey['analyses'], problems: Problems): void {
  const check = (names: Iterable<string>, size: number, element: string): void => {
    const given = new Map<string, string>();
    for (const name of names) {
      const other = given.get(cut(name, size));
      if (other !== undefined) problems.note(`${name} and ${other} would both be ${element} ${cut(name, size)}`);
      given.set(cut(name, size), name);
    }
  };
  check(analyses.keys(), sizes.code, 'AnalysisType');
  for (const values of analyses.values()) check(values, sizes.middle1, 'AnalysisID');
}

// --- What elements are made of ---

const groupingOf = ({ mappings = [] }: { readonly mappings?: readonly { scheme: string; code: string; category?: string }[] }) =>
  mappings.find((mapping) => mapping.scheme === scheme);

const documentOf = ({ document, reference }: EntryAnswer): string | undefined => document?.number ?? reference;

const partyOf = ({ party }: Line): Line['party'] => (party?.kind === 'customer' || party?.kind === 'supplier' ? party : undefined);

/** Dimensions; and parties that are neither customers nor suppliers, which the schema has no other place for. */
function analysesOf({ dimensions = [], party }: Line): { readonly key: string; readonly value: string }[] {
  const other = party === undefined || party.kind === 'customer' || party.kind === 'supplier' ? [] : [{ key: party.kind, value: party.id }];
  return [...dimensions, ...other];
}

/**
 * The name itself where it fits; else its beginning and a part of its hash. The table of analyses has the whole name as its
 * description.
 */
function cut(name: string, size: number): string {
  if ([...writable(name)].length <= size) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 6);
  return `${[...name.replace(/[^\p{L}\p{N}]/gu, '')].slice(0, size - 7).join('')}-${hash}`;
}

/** A UUID has one character more than SourceID takes: without its hyphens it fits, and is still the same. */
const userOf = (userId: string | undefined): string | undefined =>
  userId === undefined ? undefined : cut(/^[0-9a-f-]{36}$/.test(userId) ? userId.replaceAll('-', '') : userId, sizes.middle1);

/** Whether a plain decimal has no more significant decimals and no more digits. */
function fits(value: string, decimals: number, digits: number): boolean {
  const short = canonicalDecimal(value.replace('-', ''));
  return decimalsOf(short) <= decimals && short.replace(/^0(?=.)|\./g, '').length <= digits;
}

/** What the entries of the range have on one side, in base currency. */
function totalOf({ rows, scale }: BaseBalances, side: 'debit' | 'credit'): string {
  const sum = rows.reduce((total, row) => total + row[side], 0n);
  return fromMinor(sum, scale);
}

/** An amount as SAFmonetaryType takes it, with two decimals; undefined where it does not. */
function monetary(amount: string): string | undefined {
  const size = amount.replace('-', '');
  const minor = toMinor(size, 2);
  if (minor === undefined || !fits(fromMinor(minor, 2), 2, 18) || minor >= 10n ** 18n) return undefined;
  return `${amount.startsWith('-') && minor !== 0n ? '-' : ''}${fromMinor(minor, 2)}`;
}

/** A tax in base currency: stated, or by the rate of its line; undefined where neither says what it is. */
function taxIn(
  { currency, amount, baseAmount, rate }: Line,
  tax: NonNullable<Line['tax']>[number],
  state: BookState,
): { readonly base: string; readonly amount: string } | undefined {
  if (currency === state.baseCurrency) return tax;
  const same = (value: string): boolean => canonicalDecimal(value) === canonicalDecimal(amount);
  const scale = scaleOf(state, state.baseCurrency) ?? 0;
  const inBase = (value: string): string | undefined => {
    if (baseAmount !== undefined && same(value)) return baseAmount;
    if (rate === undefined) return undefined;
    const decimals = decimalsOf(value);
    return fromMinor(convert(toMinor(value, decimals) ?? 0n, decimals, rate.value, scale, state.rounding), scale);
  };
  const [base, converted] = [inBase(tax.base), inBase(tax.amount)];
  return base === undefined || converted === undefined ? undefined : { base, amount: converted };
}

/** Lines of a postal address: what the line with a Norwegian postal code says, and the others in their order. */
function addressParts({ address = '' }: { readonly address?: string }): {
  readonly StreetName?: string;
  readonly AdditionalAddressDetail?: string;
  readonly City?: string;
  readonly PostalCode?: string;
} {
  const lines = address
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const post = lines.findLastIndex((line) => /^\d{4} \S/.test(line));
  const others = lines.filter((_, index) => index !== post);
  const [street, ...more] = others;
  return {
    ...(street === undefined ? {} : { StreetName: street }),
    ...(more.length === 0 ? {} : { AdditionalAddressDetail: more.join(', ') }),
    ...(post < 0 ? {} : { City: lines[post]?.slice(5), PostalCode: lines[post]?.slice(0, 4) }),
  };
}

// --- XML ---

/** Characters that no XML 1.0 document can hold, however they are written. */
const unwritable = hazards(/(?![\t\n\r\u007f-\u009f])\p{Cc}/u, /[\ufffe\uffff]/);

const writable = (value: string): string => escaped(value, unwritable);

const markup: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '\r': '&#13;' };

const xml = (value: string): string => writable(value).replace(/[&<>\r]/g, (character) => markup[character] ?? '');

/** Whatever stands otherwise in the file than in the book: what was cut, and what was escaped. */
async function* renamed(book: ExportedBook): AsyncGenerator<Renamed[]> {
  const { balances, customers, suppliers, taxCodes, analyses } = await survey(book);
  const as = (kind: string, original = '', exported = original): Renamed => ({ kind, exported: writable(exported), original });
  yield (book.state?.journals ?? []).flatMap(({ journalCode, name }) => [as('journal', journalCode), as('journal name', name)]);
  yield byAccount(balances.rows).flatMap(({ account: { code, name } }) => [as('account', code), as('account name', name)]);
  yield [...customers, ...suppliers].sort().map((id) => as('party', id));
  yield [...taxCodes].sort().map((code) => as('tax code', code));
  yield sortedByKey(analyses).flatMap(([key, values]) => [
    as('analysis type', key, cut(key, sizes.code)),
    ...[...values].sort().map((value) => as('analysis', value, cut(value, sizes.middle1))),
  ]);
  const users = new Set<string>();
  for await (const { entries } of book.entriesByJournal()) {
    yield entries.flatMap((entry) => {
      const { userId, lines, description } = entry;
      const isNew = userId !== undefined && !users.has(userId);
      if (isNew) users.add(userId);
      return [
        ...(isNew ? [as('user', userId, userOf(userId))] : []),
        as('reference', documentOf(entry)),
        as('description', description),
        ...lines.flatMap((line) => [as('description', line.description), as('reference', line.reference)]),
      ];
    });
  }
}

/** An element with a text; nothing where there is none. */
const el = (name: string, value: string | number | undefined): string =>
  value === undefined ? '' : `<${name}>${xml(String(value))}</${name}>`;

/** An element with elements, on a line of its own. */
const group = (name: string, ...content: readonly string[]): string => `<${name}>${content.join('')}</${name}>\n`;

/** The file, some text at a time. */
async function* writeSaftNo(book: ExportedBook): AsyncGenerator<string> {
  const { state, recordedAt = '', range } = book;
  const year = yearOfRange(book);
  if (state === undefined || range === undefined || typeof year === 'string') throw new Error('a book with problems is not written');
  const found = await survey(book);
  const counts = await book.counts();
  yield `<?xml version="1.0" encoding="UTF-8"?>\n<AuditFile xmlns="urn:StandardAuditFile-Taxation-Financial:NO">\n`;
  yield headerText(book, state, recordedAt, range);
  yield masterText(found);
  const total = (side: 'debit' | 'credit'): string | undefined => monetary(totalOf(found.balances, side));
  yield `<GeneralLedgerEntries>\n${el(
    'NumberOfEntries',
    counts.reduce((sum, { entries }) => sum + entries, 0),
  )}${el('TotalDebit', total('debit'))}${el('TotalCredit', total('credit'))}\n`;
  const periodYear = year.to.slice(0, 4);
  let open: string | undefined;
  for await (const { journalCode, entries } of book.entriesByJournal()) {
    let text = '';
    if (journalCode !== open) {
      const journal = state.journals.find((each) => each.journalCode === journalCode);
      text += `${open === undefined ? '' : '</Journal>\n'}<Journal>${el('JournalID', journalCode)}`;
      text += `${el('Description', journal?.name ?? journalCode)}${el('Type', journalKinds[journal?.type ?? 'other'])}\n`;
      open = journalCode;
    }
    yield text + entries.map((entry) => transactionText(entry, state, periodYear)).join('');
  }
  yield `${open === undefined ? '' : '</Journal>\n'}</GeneralLedgerEntries>\n</AuditFile>\n`;
}

function headerText(book: ExportedBook, state: BookState, recordedAt: string, range: NonNullable<ExportedBook['range']>): string {
  const { entity, baseCurrency } = state;
  const { StreetName, AdditionalAddressDetail, City, PostalCode } = addressParts(entity ?? {});
  const address = [
    el('StreetName', StreetName),
    el('AdditionalAddressDetail', AdditionalAddressDetail),
    el('City', City),
    el('PostalCode', PostalCode),
    el('Country', entity?.country),
  ];
  return group(
    'Header',
    el('AuditFileVersion', '1.30'),
    el('AuditFileCountry', 'NO'),
    el('AuditFileDateCreated', recordedAt.slice(0, 10)),
    el('SoftwareCompanyName', 'book-keeper'),
    el('SoftwareID', 'book-keeper saf-t-no'),
    el('SoftwareVersion', writerVersion),
    group(
      'Company',
      el('RegistrationNumber', entity?.registrationNumber),
      el('Name', entity?.legalName),
      group('Address', ...address),
      // As the schema says for names that have no parts.
      group('Contact', group('ContactPerson', el('FirstName', 'NotUsed'), el('LastName', entity?.legalName))),
      ...(entity?.taxNumbers ?? []).map((number) =>
        group('TaxRegistration', el('TaxRegistrationNumber', number), el('TaxAuthority', 'Skatteetaten')),
      ),
    ),
    el('DefaultCurrencyCode', baseCurrency),
    group('SelectionCriteria', el('SelectionStartDate', range.from), el('SelectionEndDate', range.to)),
    el('HeaderComment', `Book ${book.id}, as known at position ${book.position}, recorded at ${recordedAt}`),
    el('TaxAccountingBasis', 'A'),
  );
}

function masterText({ balances: { rows, scale }, customers, suppliers, taxCodes, analyses }: Survey): string {
  const balance = (when: 'Opening' | 'Closing', amount: bigint): string =>
    el(`${when}${amount < 0n ? 'Credit' : 'Debit'}Balance`, monetary(fromMinor(amount < 0n ? -amount : amount, scale)));
  const accounts = byAccount(rows).map(({ account, opening, closing }) => {
    const grouping = groupingOf(account);
    return group(
      'Account',
      el('AccountID', account.code),
      el('AccountDescription', account.name),
      el('GroupingCategory', grouping?.category),
      el('GroupingCode', grouping?.code),
      el('AccountType', 'GL'),
      balance('Opening', opening),
      balance('Closing', closing),
    );
  });
  const parties = (element: 'Customer' | 'Supplier', ids: ReadonlySet<string>): string =>
    some(
      `${element}s`,
      [...ids].sort().map((id) => group(element, el('Name', id), el(`${element}ID`, id))),
    );
  const taxes = [...taxCodes].sort().map((code) =>
    group(
      'TaxCodeDetails',
      el('TaxCode', code),
      el('Country', 'NO'),
      // "When mapping is not possible, please use NA": a book has no table of its codes, but they may be the standard ones.
      el('StandardTaxCode', /^\d{1,2}$/.test(code) ? code : 'NA'),
      el('BaseRate', '100'),
    ),
  );
  const table = taxes.length === 0 ? [] : [group('TaxTableEntry', el('TaxType', 'MVA'), el('Description', 'Merverdiavgift'), ...taxes)];
  const kinds = sortedByKey(analyses);
  const types = kinds.flatMap(([key, values]) =>
    [...values].sort().map((value) => {
      const described = [
        el('AnalysisTypeDescription', key),
        el('AnalysisID', cut(value, sizes.middle1)),
        el('AnalysisIDDescription', value),
      ];
      return group('AnalysisTypeTableEntry', el('AnalysisType', cut(key, sizes.code)), ...described);
    }),
  );
  return group(
    'MasterFiles',
    some('GeneralLedgerAccounts', accounts),
    parties('Customer', customers),
    parties('Supplier', suppliers),
    some('TaxTable', table),
    some('AnalysisTypeTable', types),
  );
}

/** The schema's lists have a member at least, where they are there. */
const some = (name: string, members: readonly string[]): string => (members.length === 0 ? '' : group(name, '\n', ...members));

function transactionText(entry: EntryAnswer, state: BookState, periodYear: string): string {
  const { recordedAt } = entry;
  const recorded = recordedAt.slice(0, 10);
  return group(
    'Transaction',
    el('TransactionID', entryNumber(entry)),
    el('Period', entry.period),
    el('PeriodYear', periodYear),
    el('TransactionDate', entry.effectiveDate),
    el('SourceID', userOf(entry.userId)),
    el('VoucherType', entry.entryType),
    el('TransactionType', entry.entryMethod),
    el('Description', entry.description),
    el('SystemEntryDate', recorded),
    el('GLPostingDate', recorded),
    el('SystemID', entry.position),
    '\n',
    ...entry.lines.map((line) => lineText(line, entry, state)),
  );
}

function lineText(line: Line, entry: EntryAnswer, state: BookState): string {
  const side = line.side === 'debit' ? 'Debit' : 'Credit';
  const party = partyOf(line);
  const base = monetary(baseAmountOf(line, state.baseCurrency) ?? '');
  const rate = line.rate !== undefined && fits(line.rate.value, 8, 18) ? canonicalDecimal(line.rate.value) : undefined;
  const foreign =
    line.currency === state.baseCurrency
      ? ''
      : el('CurrencyCode', line.currency) + el('CurrencyAmount', monetary(line.amount)) + el('ExchangeRate', rate);
  const taxes = (line.tax ?? []).map((tax) => {
    const known = taxIn(line, tax, state);
    const amount = group(`${side}TaxAmount`, el('Amount', monetary(known?.amount ?? '')));
    return group('TaxInformation', el('TaxType', 'MVA'), el('TaxCode', tax.code), el('TaxBase', known?.base), amount);
  });
  return group(
    'Line',
    el('RecordID', line.line),
    el('AccountID', line.account),
    ...analysesOf(line).map(({ key, value }) =>
      group('Analysis', el('AnalysisType', cut(key, sizes.code)), el('AnalysisID', cut(value, sizes.middle1))),
    ),
    el('ValueDate', line.valueDate),
    el('SourceDocumentID', documentOf(entry)),
    el('CustomerID', party?.kind === 'customer' ? party.id : undefined),
    el('SupplierID', party?.kind === 'supplier' ? party.id : undefined),
    el('Description', line.description ?? entry.description),
    group(`${side}Amount`, el('Amount', base), foreign),
    ...taxes,
    el('ReferenceNumber', line.reference),
    el('DueDate', line.dueDate),
    el('Quantity', line.quantity && canonicalDecimal(line.quantity.value)),
    el('SystemEntryTime', entry.recordedAt),
  );
}
