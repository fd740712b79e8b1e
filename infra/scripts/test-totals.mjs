// node infra/scripts/test-totals.mjs <results.json>
// Prints "N passed, N failed[, N skipped]" from vitest's JSON report: the last line of CI. Without a report nothing
// was tested, and that is a failure; so is a test file that could not be loaded. An error outside
// of every test is not in the report: vitest's exit code tells, and .ci/run adds it. Runs on Node 20.
import { readFileSync } from "node:fs"

const total = totals(process.argv[2])
console.log(
  `${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`,
)

function totals(file) {
  let report
  try {
    report = JSON.parse(readFileSync(file, "utf8"))
  } catch (error) {
    console.error(`no test results in ${file}: ${error.message}`)
    return { passed: 0, failed: 1, skipped: 0 }
  }
  const unloaded = report.testResults.filter(
    ({ status, assertionResults }) =>
      status === "failed" && !assertionResults.some((assertion) => assertion.status === "failed"),
  ).length
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded,
    skipped: report.numPendingTests + report.numTodoTests,
  }
}
