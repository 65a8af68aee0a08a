/** BriefMap is a Map to whoever uses it, and lets go of what was taken out. */
import * as fc from 'fast-check';
import { BriefMap } from './brief-map';

type Step = ['set', string, number] | ['delete', string] | ['clear'];
const key = fc.constantFrom('a', 'b', 'c', 'd');
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(fc.constant('set' as const), key, fc.nat()) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('delete' as const), key) },
  { weight: 1, arbitrary: fc.constant<Step>(['clear']) },
);

test('holds what a Map would hold after the same steps', () => {
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const map = new Map<string, number>();
      const brief = new BriefMap<number>();
      for (const [what, name = '', value = 0] of steps) {
        if (what === 'set') {
          map.set(name, value);
          brief.set(name, value);
        } else if (what === 'delete') {
          map.delete(name);
          brief.delete(name);
        } else {
          map.clear();
          brief.clear();
        }
        expect(brief.size).toBe(map.size);
        for (const known of ['a', 'b', 'c', 'd']) expect(brief.get(known)).toBe(map.get(known));
      }
    }),
  );
});
