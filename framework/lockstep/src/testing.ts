/** For tests of your own classes: simulated worlds, and the checkers that judge them. */
export {
  checkConvergence,
  checkLinearizability,
  checkLogOrder,
  checkTail,
  classModel,
  MalformedHistory,
  type Operation,
  Random,
  readHistory,
  type SequentialModel,
  simulate,
  type SimulateOptions,
  SimulationFailed,
  type Totals,
  writeHistory,
} from "@lockstep/testing"
