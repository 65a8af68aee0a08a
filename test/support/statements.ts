/** Statements of accounts as objects, for specs: what the service answers as bytes, read again. */
import type { Reports, StatementAnswer, StatementQuestion } from '#ledger';

/** One page of a statement. */
export async function askStatement(
  reports: Reports,
  bookId: string,
  code: string,
  question: StatementQuestion = {},
): Promise<StatementAnswer> {
  const { body } = await reports.statement(bookId, code, question, 'json');
  return JSON.parse(body as string) as StatementAnswer;
}

/** What the link of a report leads to, as far as a page holds. */
export function followStatement(reports: Reports, link: string): Promise<StatementAnswer> {
  const { pathname, searchParams } = new URL(link, 'http://ledger');
  const [, bookId = '', code = ''] = /^\/v1\/books\/([^/]+)\/accounts\/([^/]+)\/statement$/.exec(pathname) ?? [];
  const { dimension: _dimension, ...question } = Object.fromEntries(searchParams);
  const dimensions = searchParams.getAll('dimension');
  return askStatement(reports, bookId, decodeURIComponent(code), { ...question, dimensions, limit: 1_000 });
}
