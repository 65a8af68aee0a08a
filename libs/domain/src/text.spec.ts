import { aBook, account, given } from '../../../test/support/given-when-then';
import { codeProblem, hiddenIn, textProblem } from './text';

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

describe('what is wrong with a text', () => {
  it.each([
    ['name', 'äöü€', 'long', 'has 4 characters; 3 are allowed'],
    ['name', 'a\nb', 'unfit', 'holds a control character'],
    ['prose', 'a\u0007', 'unfit', 'holds a control character'],
    ['prose', ' \n ', 'blank', 'must not be blank'],
    ['code', 'a\u200b', 'unfit', 'holds U+200B, which cannot be seen or told from a space'],
    ['name', 'a\u200b', 'unfit', 'holds U+200B, which cannot be seen'],
    ['prose', 'a\u202e', 'unfit', 'holds U+202E, which puts text in another order'],
    ['code', 'a ', 'unfit', 'begins or ends with a blank'],
    ['name', ' a', 'unfit', 'begins or ends with a blank'],
  ] as const)('as %s %j is %s', (use, text, kind, says) => {
    expect(textProblem(text, 3, use)).toEqual({ kind, says });
  });

  it('is nothing in prose of several lines, nor in as many code points as are allowed', () => {
    expect(textProblem('a\nb', 3, 'prose')).toBeUndefined();
    expect(textProblem(' a ', 3, 'prose')).toBeUndefined();
    expect(textProblem('😀😀😀', 3, 'name')).toBeUndefined();
  });
});
