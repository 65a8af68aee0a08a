/**
 * Witnesses: others who sign our checkpoints once they have seen that each continues the last one that they signed (C2SP tlog-witness).
 * Hides the protocol; guarantees that a co-signature is kept only when it is valid for the witness's key.
 */
import {
  type CheckpointBody,
  isOf,
  keyTypes,
  type NoteKey,
  type NoteSignature,
  parseKey,
  parseSignature,
  verifySignature,
} from '#event-store';

export interface Witness {
  readonly key: NoteKey;
  /** Where it takes checkpoints: its prefix, to which /add-checkpoint is added. */
  readonly url: string;
}

const timeoutMs = 10_000;

/** @param text pairs of URL and key with a blank between, and commas between pairs @throws Error naming what is wrong */
export function readWitnesses(text: string): Witness[] {
  return text
    .split(',')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '')
    .map((pair) => {
      const [url = '', encoded = '', ...rest] = pair.split(/\s+/);
      const key = parseKey(encoded);
      if (rest.length > 0 || !/^https?:\/\//.test(url) || key?.type !== keyTypes.cosignature)
        throw new Error(`WITNESSES: "${pair}" is not a URL and a co-signing key (name+hash+key of type 4) with a blank between`);
      return { url: url.replace(/\/$/, ''), key };
    });
}

/**
 * Asks a witness for its signature.
 * @param known the size that it signed last, as far as we know
 * @param proofFrom the consistency proof from a size to the checkpoint's
 * @throws Error when it does not sign
 */
export async function cosigned(
  { key, url }: Witness,
  { size }: CheckpointBody,
  { text, note }: { readonly text: string; readonly note: string },
  known: number,
  proofFrom: (size: number) => Promise<readonly Buffer[]>,
): Promise<NoteSignature> {
  let old = known;
  for (let attempt = 1; ; attempt++) {
    const proof = old === 0 ? [] : await proofFrom(old);
    const answer = await fetch(`${url}/add-checkpoint`, {
      method: 'POST',
      body: `old ${old}\n${proof.map((hash) => `${hash.toString('base64')}\n`).join('')}\n${note}`,
      signal: AbortSignal.timeout(timeoutMs),
    });
    const body = await answer.text();
    // It signed another size last: after a crash of ours, or for another process.
    if (answer.status === 409 && attempt === 1 && /^\d+\n$/.test(body) && Number(body) <= size) {
      old = Number(body);
      continue;
    }
    if (answer.status !== 200)
      throw new Error(`witness ${key.name} answered ${answer.status} to a checkpoint of ${size} events: ${body.slice(0, 200).trim()}`);
    for (const line of body.split('\n')) {
      const signature = parseSignature(line);
      if (signature !== undefined && isOf(signature, key) && verifySignature(text, signature, key)) return signature;
    }
    throw new Error(`witness ${key.name} answered without a valid signature of its key`);
  }
}
