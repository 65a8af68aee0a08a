/**
 * Jest reporter: says how many tests were executed, and in CI fails the run when one was left out.
 *
 * A skipped or todo test is fine in CI only when its full name carries the reason, as in `[needs: a Docker engine]`:
 * something that the machine does not have. "Not written yet" and "flaky" are no reasons, and neither is what the machine does
 * have: programs named as in `[needs: hledger, ledger]` are looked for, so that CI cannot leave out what it could have run.
 * With TESTS_EXECUTED_FILE set, a line with the number is appended to that file, for .ci/run to sum up.
 */
const { appendFileSync, existsSync } = require('node:fs');
const { delimiter, join } = require('node:path');

const REASON = /\[needs: ([^\]]+)\]/;

/** Programs that specs may need, as they are called. */
const PROGRAMS = ['hledger', 'ledger', 'bean-check', 'bean-query', 'xmllint', 'go'];

/** @param {string} program */
const installed = (program) =>
  (process.env.PATH ?? '').split(delimiter).some((directory) => directory !== '' && existsSync(join(directory, program)));

/** Whether a test names nothing but programs, and all of them are there. @param {string} fullName */
function couldHaveRun(fullName) {
  const needs = REASON.exec(fullName)?.[1]?.split(', ') ?? [];
  return needs.length > 0 && needs.every((need) => PROGRAMS.includes(need) && installed(need));
}

module.exports = class ExecutedTests {
  /** @type {Error | undefined} */
  #error;

  onRunComplete(_contexts, results) {
    const all = results.testResults.flatMap((file) => file.testResults);
    const executed = all.filter((test) => test.status === 'passed' || test.status === 'failed').length;
    const left = all.filter((test) => test.status === 'pending' || test.status === 'todo' || test.status === 'disabled');
    process.stdout.write(`tests executed: ${executed}${left.length > 0 ? `, left out: ${left.length}` : ''}\n`);
    for (const test of left.filter((each) => REASON.test(each.fullName))) process.stdout.write(`  left out: ${test.fullName}\n`);
    if (process.env.TESTS_EXECUTED_FILE) appendFileSync(process.env.TESTS_EXECUTED_FILE, `${executed}\n`);
    if (process.env.CI !== 'true') return;
    const names = left.map((test) => test.fullName);
    const faults = [
      ['left out without a reason such as [needs: …] in its name', names.filter((name) => !REASON.test(name))],
      ['left out although this machine has what they need', names.filter(couldHaveRun)],
    ].filter(([, found]) => found.length > 0);
    if (faults.length > 0) this.#error = new Error(faults.map(([what, found]) => `${what}:\n  ${found.join('\n  ')}`).join('\n'));
  }

  getLastError() {
    return this.#error;
  }
};
