/** Where requests come from: given a place, when it is seen again, then its row is the same for a day, and another one afterwards. */
import { Contexts } from './contexts';

const day = 86_400_000;

it('a place has one row a day, with a salt of its own', () => {
  let now = 5;
  const contexts = new Contexts(() => now);
  const home = { ip: '192.0.2.1', userAgent: 'spec' };
  const first = contexts.of(home);
  expect(first).toMatchObject(home);
  now += day - 1;
  expect(contexts.of({ ...home })).toBe(first);
  expect(contexts.of({ ...home, userAgent: 'other' })?.hash).not.toEqual(first?.hash);
  now += 1;
  const next = contexts.of(home);
  expect(next?.hash).not.toEqual(first?.hash);
  expect(next?.salt).not.toEqual(first?.salt);
  expect(contexts.of(home)).toBe(next);
});

it('of nowhere there is no row', () => {
  expect(new Contexts().of({})).toBeUndefined();
});
