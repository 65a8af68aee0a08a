/** What OpenAPI says of an operation: one decorator per route, which knows what all operations have in common. */
import { applyDecorators } from '@nestjs/common';
import { ApiBody, ApiExtraModels, ApiHeader, ApiOperation, ApiProperty, ApiResponse, getSchemaPath } from '@nestjs/swagger';
import { type ErrorCode, errorTable, precedenceOf } from '#domain';
import { presentations, statusOf } from '#ledger';

/** A problem document (RFC 9457); members beyond these depend on the code. */
export class Problem {
  @ApiProperty({ example: 'urn:book-keeper:error:unbalanced' })
  type!: string;

  @ApiProperty({ example: 'Unbalanced' })
  title!: string;

  @ApiProperty({ example: 422 })
  status!: number;

  @ApiProperty({ description: 'What is wrong, for people.', example: 'debits 100.00, credits 90.00, difference 10.00 EUR' })
  detail!: string;

  @ApiProperty({ description: 'Stable; see docs/reference/errors.md.', enum: Object.keys(errorTable), example: 'unbalanced' })
  code!: ErrorCode;
}

interface OperationOptions {
  readonly summary: string;
  readonly description?: string;
  /** Class of the answer, or what it is when it is no JSON. */
  readonly answer: (new () => object) | Readonly<Record<string, { readonly schema: { readonly type: 'string' } }>>;
  /** The answer is given as CSV too, when it is asked for. */
  readonly csv?: true;
  /** Headers of the answer: what each says. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Codes beyond those that every operation has. */
  readonly refusals?: readonly ErrorCode[];
  /** The path leads to an account or a party, which may not exist: 404, where a code or id in a body would be 422. */
  readonly addressesAccount?: true;
  readonly addressesParty?: true;
}

interface CommandOptions extends OperationOptions {
  readonly answer: new () => object;
  readonly body: new () => object;
  /** Answers 201 with a Location. */
  readonly creates?: true;
}

const everywhere: readonly ErrorCode[] = ['unauthenticated', 'text_invalid', 'actions_unavailable', 'database_unavailable', 'internal'];
const everyCommand: readonly ErrorCode[] = [
  'malformed',
  'unknown_member',
  'too_large',
  'key_missing',
  'idempotency_key_reused',
  'queue_full',
];
const retried = new Set<ErrorCode>([
  'queue_full',
  'not_sealed',
  'projection_behind',
  'actions_unavailable',
  'keys_unavailable',
  'database_unavailable',
]);
const replayHeader = {
  'Idempotency-Replayed': {
    description: 'true: this is the answer that was given before, byte for byte.',
    schema: { type: 'string' as const, enum: ['true'] },
  },
};
const locationHeader = { Location: { description: 'Where the created thing is found.', schema: { type: 'string' as const } } };
const retryHeader = {
  'Retry-After': { description: 'Seconds to wait before the request is repeated.', schema: { type: 'integer' as const } },
};

/** A route that reads. */
export function QueryOperation({
  summary,
  description,
  answer,
  csv,
  headers,
  refusals = [],
  addressesAccount,
  addressesParty,
}: OperationOptions): MethodDecorator {
  return applyDecorators(
    ApiOperation({ summary, description }),
    ApiHeader({
      name: 'Personal-Data',
      required: false,
      description:
        'How texts about persons are shown. masked: as pseudonyms; open: as they were said, for keys with the scope `personal`, and recorded as such; sealed: as they are stored. Left out: masked, and sealed where events are shown.',
      schema: { type: 'string', enum: [...presentations] },
    }),
    ...answered(answer, csv, headers),
    ...problems([...everywhere, 'malformed', 'unknown_member', ...refusals], {}, { addressesAccount, addressesParty }),
  );
}

function answered(answer: OperationOptions['answer'], csv: true | undefined, headers: OperationOptions['headers'] = {}): MethodDecorator[] {
  const said = Object.entries(headers).map(([name, says]) => [name, { description: says, schema: { type: 'string' as const } }]);
  const told = { status: 200, description: 'OK', ...(said.length === 0 ? {} : { headers: Object.fromEntries(said) }) };
  if (typeof answer !== 'function') return [ApiResponse({ ...told, content: answer })];
  if (csv === undefined) return [ApiResponse({ ...told, type: answer })];
  const content = { 'application/json': { schema: { $ref: getSchemaPath(answer) } }, 'text/csv': { schema: { type: 'string' as const } } };
  return [ApiExtraModels(answer), ApiResponse({ ...told, content })];
}

/** A route that sends a command. */
export function CommandOperation({
  summary,
  description,
  body,
  answer,
  refusals = [],
  creates,
  addressesAccount,
  addressesParty,
}: CommandOptions): MethodDecorator {
  return applyDecorators(
    ApiOperation({ summary, description }),
    ApiHeader({
      name: 'Idempotency-Key',
      required: true,
      description: 'Names this command for ever: whoever repeats it gets the first answer. 1 to 255 printable ASCII characters.',
      schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x20-\\x7e]+$' },
      example: 'order-1042',
    }),
    ApiHeader({
      name: 'On-Behalf-Of',
      required: false,
      description:
        'Opaque id of the person or system for whom the caller acts; stands in every event. No part of what an idempotency key stands for: a repeat that names another one gets the first answer.',
      schema: { type: 'string', maxLength: 255 },
    }),
    ApiHeader({
      name: 'X-Correlation-Id',
      required: false,
      description: 'Stands in every event; an id of the request when left out.',
      schema: { type: 'string', maxLength: 255 },
    }),
    ApiBody({ type: body }),
    ApiResponse({
      status: creates ? 201 : 200,
      description: creates ? 'Created' : 'Done',
      type: answer,
      headers: creates ? { ...locationHeader, ...replayHeader } : replayHeader,
    }),
    ...problems([...everywhere, ...everyCommand, ...refusals], replayHeader, { addressesAccount, addressesParty }),
  );
}

/** One response per status, which names its codes in their order of precedence. */
function problems(
  codes: readonly ErrorCode[],
  headers: object,
  { addressesAccount, addressesParty }: Pick<OperationOptions, 'addressesAccount' | 'addressesParty'>,
): MethodDecorator[] {
  const addressed: readonly ErrorCode[] = [
    ...(addressesAccount ? ['account_unknown' as const] : []),
    ...(addressesParty ? ['party_unknown' as const] : []),
  ];
  const byStatus = new Map<number, ErrorCode[]>();
  const all = new Set<ErrorCode>([...codes, ...addressed]);
  for (const code of [...all].sort((a, b) => precedenceOf(a) - precedenceOf(b))) {
    const status = statusOf(addressed.includes(code) ? 'not_found' : errorTable[code].kind);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const responses = [...byStatus].map(([status, known]) =>
    ApiResponse({
      status,
      description: known.map((code) => `\`${code}\`: ${errorTable[code].meaning}`).join('\n\n'),
      headers: known.some((code) => retried.has(code)) ? retryHeader : { ...headers },
      content: { 'application/problem+json': { schema: { $ref: getSchemaPath(Problem) } } },
    }),
  );
  return [ApiExtraModels(Problem), ...responses];
}
