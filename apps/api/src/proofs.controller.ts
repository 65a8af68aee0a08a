/**
 * The Merkle log of a book over HTTP: checkpoints, proofs, tiles and keys. Nothing of it holds an event; tiles never change, so they may
 * be kept by whoever passes them on.
 */
import { Controller, Get, Param, Query, Res } from '@nestjs/common';
import { ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { Service } from '#ledger';
import { QueryOperation } from './operation';
import {
  CheckpointKeysShown,
  CheckpointQuery,
  ConsistencyProofShown,
  ConsistencyQuery,
  InclusionProofShown,
  InclusionQuery,
} from './proofs.dto';
import { whole } from './queries.dto';

const untilNextSeal = 'public, max-age=1';
const forEver = 'public, max-age=31536000, immutable';

@ApiTags('proofs')
@Controller('v1')
export class ProofsController {
  constructor(private readonly service: Service) {}

  @Get('books/:book/checkpoint')
  @QueryOperation({
    summary: 'The signed head of the log',
    description:
      'A checkpoint (C2SP tlog-checkpoint) as a signed note: the name of the log, the number of its events, the root of the Merkle tree over them, and signatures of the log and of its witnesses. The newest one, or the first that covers `size` events.',
    answer: { 'text/plain': { schema: { type: 'string' } } },
    refusals: ['book_unknown', 'not_sealed'],
  })
  async checkpoint(@Param('book') book: string, @Query() { size }: CheckpointQuery, @Res() reply: FastifyReply): Promise<void> {
    const { note } = await this.service.proofs.checkpoint(book, { size: whole(size) });
    reply.header('Content-Type', 'text/plain; charset=utf-8').header('Cache-Control', untilNextSeal).send(note);
  }

  @Get('books/:book/proofs/inclusion')
  @QueryOperation({
    summary: 'Prove that an event is in the log',
    description:
      'Hashes from the leaf of the event to a root that was signed (RFC 9162 section 2.1.3). The leaf is SHA-256 of a zero byte and the RFC 8785 form of the event as `GET …/events` shows it without `leafHash`.',
    answer: InclusionProofShown,
    refusals: ['date_invalid', 'book_unknown', 'not_sealed'],
  })
  inclusion(@Param('book') book: string, @Query() { position, size }: InclusionQuery): Promise<InclusionProofShown> {
    return this.service.proofs.inclusion(book, { position: Number(position), size: whole(size) });
  }

  @Get('books/:book/proofs/consistency')
  @QueryOperation({
    summary: 'Prove that the log only grew',
    description: 'That the log of `from` events is the beginning of that of `to` events (RFC 9162 section 2.1.4).',
    answer: ConsistencyProofShown,
    refusals: ['book_unknown', 'not_sealed'],
  })
  consistency(@Param('book') book: string, @Query() { from, to }: ConsistencyQuery): Promise<ConsistencyProofShown> {
    return this.service.proofs.consistency(book, { from: Number(from), to: whole(to) });
  }

  @Get('books/:book/tile/*')
  @ApiParam({ name: 'path', description: 'LEVEL/INDEX or LEVEL/INDEX.p/WIDTH, as C2SP tlog-tiles writes it.', example: '0/x001/067' })
  @QueryOperation({
    summary: 'A tile of the Merkle tree',
    description:
      'Up to 256 hashes of 32 bytes, side by side (C2SP tlog-tiles): what a path names never changes. There are no entry bundles: events are read with an API key, at `GET …/events`.',
    answer: { 'application/octet-stream': { schema: { type: 'string' } } },
    refusals: ['book_unknown', 'tile_unknown'],
  })
  async tile(@Param('book') book: string, @Param('*') path: string, @Res() reply: FastifyReply): Promise<void> {
    const hashes = await this.service.proofs.tile(book, path);
    reply.header('Content-Type', 'application/octet-stream').header('Cache-Control', forEver).send(hashes);
  }

  @Get('checkpoint-keys')
  @QueryOperation({
    summary: 'The keys that sign checkpoints',
    description:
      'In the order in which they came into use, each as verifiers take it (C2SP signed-note, `name+hash+key`); the last one is in use. Get them once by a way that you trust, and hold what you are shown later against that.',
    answer: CheckpointKeysShown,
  })
  async keys(): Promise<CheckpointKeysShown> {
    return { keys: await this.service.proofs.keys() };
  }
}
