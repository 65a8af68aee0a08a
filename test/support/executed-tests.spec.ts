/** The rule that CI leaves no test out silently. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Reporter {
  onRunComplete(contexts: unknown, results: { testResults: { testResults: { status: string; fullName: string }[] }[] }): void;
  getLastError(): Error | undefined;
}
const ExecutedTests = require('./executed-tests.cjs') as new () => Reporter;

describe('the reporter of executed tests', () => {
  const environment = { ...process.env };
  const printed: string[] = [];
  beforeEach(() => {
    printed.length = 0;
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
      printed.push(String(text));
      return true;
    });
  });
  afterEach(() => {
    jest.restoreAllMocks();
    process.env = { ...environment };
  });

  const report = (tests: [string, string][], ci: string | undefined) => {
    process.env.CI = ci;
    const reporter = new ExecutedTests();
    reporter.onRunComplete([], { testResults: [{ testResults: tests.map(([status, fullName]) => ({ status, fullName })) }] });
    return reporter.getLastError();
  };

  it('counts passed and failed tests', () => {
    expect(
      report(
        [
          ['passed', 'a'],
          ['failed', 'b'],
          ['pending', 'c [needs: a Docker engine]'],
        ],
        'true',
      ),
    ).toBeUndefined();
    expect(printed.join('')).toBe('tests executed: 2, left out: 1\n  left out: c [needs: a Docker engine]\n');
  });

  it.each(['pending', 'todo', 'disabled'])('fails a CI run with a %s test that gives no reason', (status) => {
    expect(
      report(
        [
          ['passed', 'a'],
          [status, 'some suite does things'],
        ],
        'true',
      )?.message,
    ).toContain('some suite does things');
    expect(
      report(
        [
          ['passed', 'a'],
          [status, 'some suite does things'],
        ],
        undefined,
      ),
    ).toBeUndefined();
  });

  it('fails a CI run with a test that was left out for want of programs that are there', () => {
    const dir = mkdtempSync(join(tmpdir(), 'executed-'));
    try {
      const name = 'a journal [needs: hledger, ledger]';
      process.env.PATH = dir;
      writeFileSync(join(dir, 'hledger'), '');
      expect(report([['pending', name]], 'true')).toBeUndefined();
      writeFileSync(join(dir, 'ledger'), '');
      expect(report([['pending', name]], 'true')?.message).toBe(`left out although this machine has what they need:\n  ${name}`);
      expect(report([['pending', name]], undefined)).toBeUndefined();
      expect(report([['passed', name]], 'true')).toBeUndefined();
      expect(report([['pending', 'another [needs: ledger, a Docker engine]']], 'true')).toBeUndefined();
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('appends the number to the file that sums up', () => {
    const dir = mkdtempSync(join(tmpdir(), 'executed-'));
    process.env.TESTS_EXECUTED_FILE = join(dir, 'counts');
    report([['passed', 'a']], 'true');
    report(
      [
        ['passed', 'a'],
        ['passed', 'b'],
      ],
      'true',
    );
    expect(readFileSync(join(dir, 'counts'), 'utf8')).toBe('1\n2\n');
    rmSync(dir, { recursive: true });
  });
});
