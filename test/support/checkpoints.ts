/** What specs of the Merkle log have in common. */
import { type NoteKey, parseKey } from '#event-store';

/** The key that signs now, of those that the service shows. */
export function parseKeyOf(keys: readonly { readonly key: string }[]): NoteKey {
  const key = parseKey(keys.at(-1)?.key ?? '');
  if (key === undefined) throw new Error('no key was shown');
  return key;
}
