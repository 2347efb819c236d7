// A vitest reporter that writes how many tests passed, failed and were skipped to the file FIRSTLIGHT_TALLY names.
// Whatever went wrong outside a test (a file that does not load, a hook, an unhandled error) counts as a failed test,
// and so does a test that never ended.
import { writeFileSync } from 'node:fs';

export default class TallyReporter {
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
