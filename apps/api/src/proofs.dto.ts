/** What the Merkle log is asked for, and what it answers. */
import { ApiProperty } from '@nestjs/swagger';
import { WholeText } from './members';

const optional = true;
const most = Number.MAX_SAFE_INTEGER;
const hash = { example: 'n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=' };

export class CheckpointQuery {
  @WholeText(1, most, {
    optional,
    description: 'The first checkpoint that covers so many events; the newest one when left out.',
    example: 42,
  })
  size?: string;
}

export class InclusionQuery {
  @WholeText(1, most, { description: 'Position of the event.', example: 7 })
  position!: string;

  @WholeText(1, most, { optional, description: 'Size of the checkpoint to prove it in; the newest one when left out.', example: 42 })
  size?: string;
}

export class ConsistencyQuery {
  @WholeText(0, most, { description: 'Events of the smaller tree.', example: 7 })
  from!: string;

  @WholeText(0, most, { optional, description: 'Events of the larger tree; that of the newest checkpoint when left out.', example: 42 })
  to?: string;
}

export class InclusionProofShown {
  @ApiProperty({ description: 'Of the event; its leaf has the index position − 1.', example: 7 })
  position!: number;

  @ApiProperty({ description: 'Events of the tree.', example: 42 })
  size!: number;

  @ApiProperty({ description: 'Base64, as all hashes here.', ...hash })
  leafHash!: string;

  @ApiProperty(hash)
  root!: string;

  @ApiProperty({ type: [String], description: 'From the sibling of the leaf upwards.' })
  hashes!: readonly string[];

  @ApiProperty({ description: 'The signed note that states size and root.' })
  checkpoint!: string;
}

export class ConsistencyProofShown {
  @ApiProperty({ example: 7 })
  from!: number;

  @ApiProperty({ example: 42 })
  to!: number;

  @ApiProperty(hash)
  fromRoot!: string;

  @ApiProperty(hash)
  toRoot!: string;

  @ApiProperty({ type: [String], description: 'None where both are the same, or the smaller tree is empty.' })
  hashes!: readonly string[];
}

class CheckpointKeyShown {
  @ApiProperty({ example: 1 })
  number!: number;

  @ApiProperty({ description: 'name+hash+key.', example: 'books.example.com/ledger+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW' })
  key!: string;

  @ApiProperty({ example: '2026-07-02T12:00:00.000001Z' })
  activatedAt!: string;

  @ApiProperty({
    required: false,
    description: 'The signed note in which the key before names this one; absent of the first, and where that key was lost.',
  })
  endorsement?: string;
}

export class CheckpointKeysShown {
  @ApiProperty({ type: () => [CheckpointKeyShown] })
  keys!: readonly CheckpointKeyShown[];
}
