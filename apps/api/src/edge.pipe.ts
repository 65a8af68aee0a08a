/** What comes in path and query of a route that reads, checked like the members of a body. */
import { type ArgumentMetadata, Injectable, type PipeTransform } from '@nestjs/common';
import { Refusals } from '#domain';
import { validate } from './members';
import { findName, findText, textProblem } from './strict-json';

@Injectable()
export class EdgePipe implements PipeTransform {
  /** @throws LedgerError of what is wrong, what the error table names first */
  transform(value: unknown, { type, metatype, data }: ArgumentMetadata): unknown {
    if (type === 'param' && typeof value === 'string') {
      const problem = textProblem(value, `${data} in the path`);
      if (problem !== undefined) throw problem;
      return data === 'code' ? value.normalize('NFC') : value;
    }
    if (type !== 'query' || metatype === undefined) return value;
    const query = value as Record<string, unknown>;
    const refusals = new Refusals();
    for (const problem of [findName(query), findText(query, '')]) {
      if (problem !== undefined) refusals.note(problem.code, () => problem.message, problem.details);
    }
    validate(metatype as new () => object, query, refusals);
    refusals.throwFirst();
    return query;
  }
}
