import { aBook, account, given } from '../../../test/support/given-when-then';
import { codeProblem, hiddenIn } from './text';

describe('what cannot be seen', () => {
  it.each([
    ['a zero width space', 'Ca\u200bsh', 'U+200B'],
    ['a zero width joiner', 'Ca\u200dsh', 'U+200D'],
    ['a byte order mark', '\ufeffCash', 'U+FEFF'],
    ['a right-to-left override', 'Cash\u202etxt', 'U+202E'],
    ['a soft hyphen', 'Ca\u00adsh', 'U+00AD'],
    ['a tag', 'Cash\u{e0041}', 'U+E0041'],
    ['a no-break space', 'Petty\u00a0cash', 'U+00A0'],
    ['a tab', 'Petty\tcash', 'U+0009'],
    ['a Hangul filler', '\u3164', 'U+3164'],
  ])('is refused in codes: %s', (_what, code, character) => {
    expect(codeProblem(code)).toContain(character);
    given(aBook()).when({ type: 'OpenAccount', code, name: 'x', accountType: 'asset' }).thenRefused('text_invalid', { member: 'code' });
    given(aBook(), account('A')).when({ type: 'ChangeAccountCode', account: 'A', code }).thenRefused('text_invalid', { member: 'code' });
  });

  it.each(['Assets:Cash', 'Petty cash', 'Kosten/Büro', '漢字', 'نقد', 'खाता', '1000', '😀'])('is nothing of the code %s', (code) => {
    expect(codeProblem(code)).toBeUndefined();
  });

  it('leaves names what spells them, and prose all but what puts it in another order', () => {
    for (const name of ['می\u200cخواهم', 'क्\u200dष', '❤\ufe0f', '👩\u200d💻']) expect(hiddenIn(name, 'name')).toBeUndefined();
    expect(hiddenIn('a\u200eb', 'name')).toBe('U+200E');
    expect(hiddenIn('a\u200e\u200bb', 'prose')).toBeUndefined();
    expect(hiddenIn('a\u2066b', 'prose')).toBe('U+2066');
  });
});
