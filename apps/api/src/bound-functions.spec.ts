/** Bound functions do what those of Node.js do: scope, receiver, arguments, result, errors. */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import { bindCheaply } from './bound-functions';

const native = AsyncResource.prototype.bind;
afterEach(() => {
  AsyncResource.prototype.bind = native;
});

const storage = new AsyncLocalStorage<string>();

function observed(): unknown[] {
  const resource = storage.run('inside', () => new AsyncResource('test'));
  function seen(this: unknown, ...given: unknown[]): unknown[] {
    return [storage.getStore(), this, given];
  }
  const receiver = { name: 'receiver' };
  const failing = resource.bind(() => {
    throw new Error('of the function itself');
  });
  return storage.run('outside', () => [
    resource.bind(seen).call(receiver, 1, 2),
    AsyncResource.bind(seen, 'test', receiver)(4),
    (() => {
      try {
        return failing();
      } catch (error) {
        return (error as Error).message;
      }
    })(),
    storage.getStore(),
  ]);
}

test('bound functions run as those of Node.js', () => {
  const before = observed();
  bindCheaply();
  expect(observed()).toEqual(before);
  expect(before[0]).toEqual(['inside', { name: 'receiver' }, [1, 2]]);
});

test('what had the property asyncResource has it no more, and the rest is left alone', () => {
  const had = Object.hasOwn(
    new AsyncResource('test').bind(() => {}),
    'asyncResource',
  );
  expect(bindCheaply()).toBe(had);
  expect(AsyncResource.prototype.bind === native).toBe(!had);
  expect(
    Object.hasOwn(
      new AsyncResource('test').bind(() => {}),
      'asyncResource',
    ),
  ).toBe(false);
  expect(bindCheaply()).toBe(false);
});
