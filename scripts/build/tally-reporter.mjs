// A vitest reporter that says how far the run has come and why a test was skipped, while it runs, and writes how many tests
// passed, failed and were skipped to the file FIRSTLIGHT_TALLY names.
// Whatever went wrong outside a test (a file that does not load, a hook, an unhandled error) counts as a failed test,
// and so does a test that never ended.
import { writeFileSync } from 'node:fs';

/** A line of progress comes each time another such share of the files is done. */
const SHARES = 20;

export default class TallyReporter {
  #files = 0;
  #done = 0;
  #told = 0;
  #counts = { passed: 0, failed: 0, skipped: 0 };

  onTestRunStart(specifications) {
    this.#files = specifications.length;
  }

  onTestCaseResult(test) {
    const { state } = test.result();
    if (state in this.#counts) this.#counts[state]++;
    if (state === 'skipped') console.log(`skipped: ${describeSkipped(test)}`);
  }

  onTestModuleEnd() {
    this.#done++;
    const share = Math.floor((this.#done * SHARES) / this.#files);
    if (share === this.#told) return;
    this.#told = share;
    const { passed, failed, skipped } = this.#counts;
    console.log(
      `${this.#done} of ${this.#files} test files done: ${passed} passed, ${failed} failed, ${skipped} skipped`,
    );
  }

  onTestRunEnd(modules, unhandledErrors) {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const inState = (...states) => tests.filter((test) => states.includes(test.result().state));
    const outside = modules.map(errorsOutsideTests).reduce((sum, count) => sum + count, unhandledErrors.length);
    const tally = {
      passed: inState('passed').length,
      failed: inState('failed', 'pending').length + outside,
      skipped: inState('skipped').map(describeSkipped),
    };
    writeFileSync(process.env.FIRSTLIGHT_TALLY, JSON.stringify(tally));
  }
}

function errorsOutsideTests(module) {
  const suites = [...module.children.allSuites()];
  return suites.reduce((sum, suite) => sum + suite.errors().length, module.errors().length);
}

function describeSkipped(test) {
  const { note } = test.result();
  return `${test.module.relativeModuleId} > ${test.fullName}${note ? ` (${note})` : ''}`;
}
