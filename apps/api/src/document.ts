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
  // No number of this API has a fraction: amounts, rates and quantities are strings.
  return JSON.parse(JSON.stringify(document).replaceAll('"type":"number"', '"type":"integer"')) as OpenAPIObject;
}

/** `/docs` and `/openapi.json`. */
export function serveDocument(app: NestFastifyApplication, document: OpenAPIObject): void {
  SwaggerModule.setup('docs', app, document, { jsonDocumentUrl: 'openapi.json', raw: ['json'], customSiteTitle: 'book-keeper API' });
}

type Schema = Record<string, unknown>;

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
