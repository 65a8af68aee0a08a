/** `book-keeper balance`: what an account's balance was, on both axes of time. */
import { Command } from 'commander';
import { acting, withService } from './session';
import { table } from './table';

interface Options {
  readonly asOf?: string;
  readonly knownAt?: string;
  readonly json?: true;
}

export function balance(): Command {
  return new Command('balance')
    .summary("show an account's balance, as of any date and as known at any moment")
    .description(
      [
        "Shows an account's balance in each currency: total debits, total credits, and the balance in the sign of the account's normal side (debit for assets and expenses, credit for liabilities, equity and income). In a book with fx=tracked the balance is also shown in base currency, as its lines state it.",
        'Without options it is the balance of everything posted so far, whatever its date.',
      ].join('\n\n'),
    )
    .argument('<book>', 'id of the book')
    .argument('<account>', 'code of the account, such as Assets:Bank')
    .option('--as-of <date>', 'only entries effective on or before this date, YYYY-MM-DD')
    .option('--known-at <when>', 'only what was recorded by then: a position of the log, or an instant such as 2026-01-31T18:00:00Z')
    .option('--json', 'as JSON, the same object that the REST API answers')
    .action((book: string, account: string, { asOf, knownAt, json }: Options) =>
      withService(
        async (service) => {
          const act = { bookId: book, kind: 'read', action: 'balances', asked: { account, asOf, knownAt } } as const;
          const answer = await acting(
            service,
            act,
            () => service.queries.balance(book, account, { asOf, knownAt }),
            ({ balances }) => ({ rows: balances.length }),
          );
          if (json) {
            process.stdout.write(`${JSON.stringify(answer, undefined, 2)}\n`);
            return;
          }
          const date = asOf === undefined ? 'over all dates' : `as of ${asOf}`;
          process.stdout.write(`${answer.account}, ${date}, known at position ${answer.position}\n`);
          if (answer.balances.length === 0) process.stdout.write('no lines\n');
          else {
            const inBase = answer.balances.some(({ baseBalance }) => baseBalance !== undefined);
            const rows = answer.balances.map(({ currency, debit, credit, balance: amount, baseBalance = '' }) => [
              ...[currency, debit, credit, amount],
              ...(inBase ? [baseBalance] : []),
            ]);
            const heads = ['CURRENCY', 'DEBIT', 'CREDIT', 'BALANCE', ...(inBase ? ['BASE BALANCE'] : [])];
            process.stdout.write(table(heads, rows, [1, 2, 3, 4].slice(0, heads.length - 1)));
          }
        },
        { project: false },
      ),
    );
}
