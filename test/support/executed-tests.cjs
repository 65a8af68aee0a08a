/**
 * Jest reporter: says how many tests were executed, and in CI fails the run when one was left out.
 *
 * A skipped or todo test is fine in CI only when its full name carries the reason, as in `[needs: a Docker engine]`:
 * something that the machine does not have. "Not written yet" and "flaky" are no reasons.
 * With TESTS_EXECUTED_FILE set, a line with the number is appended to that file, for .ci/run to sum up.
 */
const { appendFileSync } = require('node:fs');

const REASON = /\[needs: [^\]]+\]/;

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
    const unexplained = left.filter((test) => !REASON.test(test.fullName)).map((test) => test.fullName);
    if (process.env.CI === 'true' && unexplained.length > 0) {
      this.#error = new Error(`left out without a reason such as [needs: …] in its name:\n  ${unexplained.join('\n  ')}`);
    }
  }

  getLastError() {
    return this.#error;
  }
};
