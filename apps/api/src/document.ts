/**
 * The OpenAPI document: made from the decorators, so it says what the code does. Guarantees that a body described by it has
 * no other members than those listed, as class-validator sees it; answers may gain members later.
 */
import type { INestApplication } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { releaseVersion } from '#ledger';

const description = `Double-entry, event-sourced ledger. Amounts are strings. Errors are problem documents (RFC 9457) with a stable \`code\`;
when several apply, the one that comes first in the error reference is told. Every POST that changes a book needs an
\`Idempotency-Key\`; whoever repeats it gets the first answer, byte for byte. Account codes in a path are URL-encoded.`;

export function describeApi(app: INestApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('book-keeper')
    .setDescription(description)
    .setVersion(releaseVersion())
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'An API key.' }, 'key')
    .addSecurityRequirements('key')
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    operationIdFactory: (controller, method) => `${controller.replace(/Controller$/, '').toLowerCase()}_${method}`,
  });
  closeBodies(document);
  describePaths(document);
  // No number of this API has a fraction: amounts, rates and quantities are strings.
  return JSON.parse(JSON.stringify(document).replaceAll('"type":"number"', '"type":"integer"')) as OpenAPIObject;
}

/** `/docs` and `/openapi.json`. */
export function serveDocument(app: NestFastifyApplication, document: OpenAPIObject): void {
  SwaggerModule.setup('docs', app, document, { jsonDocumentUrl: 'openapi.json', raw: ['json'], customSiteTitle: 'book-keeper API' });
}

type Schema = Record<string, unknown>;

/** The parts of paths. Nest tells of those that a method takes one by one, and of none where it takes the request. */
const pathParts: Readonly<Record<string, { readonly description: string; readonly example: string }>> = {
  book: { description: 'Id of the book.', example: 'acme' },
  code: { description: 'Code of the account, URL-encoded; any that it ever had.', example: 'Assets:Cash' },
  id: { description: 'Id of the entry.', example: '0198c0de-0000-7000-8000-000000000003' },
  party: { description: 'Id of the party.', example: '0198c0de-0000-5000-8000-000000000009' },
};

function describePaths(document: OpenAPIObject): void {
  for (const [path, { get, post }] of Object.entries(document.paths)) {
    for (const operation of [get, post]) {
      if (operation === undefined) continue;
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string);
      const others = (operation.parameters ?? []).filter((known) => !('name' in known && known.in === 'path' && pathParts[known.name]));
      const described = names.flatMap((name) => {
        const part = pathParts[name];
        return part === undefined ? [] : [{ name, in: 'path' as const, required: true, schema: { type: 'string' as const }, ...part }];
      });
      operation.parameters = [...described, ...others];
    }
  }
}

/** Bodies have the listed members and no others; classes that OpenAPI finds in answers only stay open. */
function closeBodies(document: OpenAPIObject): void {
  const schemas = (document.components?.schemas ?? {}) as Record<string, Schema>;
  const waiting = Object.values(document.paths).flatMap(({ post }) => (post === undefined ? [] : namesIn(post.requestBody)));
  const closed = new Set<string>();
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const schema = schemas[name];
    if (schema === undefined || closed.has(name)) continue;
    closed.add(name);
    schema.additionalProperties = false;
    waiting.push(...namesIn(schema));
  }
}

/** Names of the schemas that a part of the document refers to. */
function namesIn(part: unknown): string[] {
  return [...(JSON.stringify(part) ?? '').matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name as string);
}
