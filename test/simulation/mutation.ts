import { autopsies } from "./gate.ts"
import { MUTANTS } from "./mutants.ts"

/** npm run mutants [-- name …]: runs the mutation gate and prints its table, as docs/mutants.md shows it. */
const names = process.argv.slice(2)
const chosen = names.length === 0 ? MUTANTS : MUTANTS.filter(({ name }) => names.includes(name))
const all = await autopsies(chosen, ({ mutant, seeds, rules, detail }) =>
  process.stderr.write(
    `${mutant.name.padEnd(28)}${seeds === undefined ? "SURVIVED" : `seed ${seeds - 1}: ${rules.join("; ")} (${detail.slice(0, 160)})`}\n`,
  ),
)
const rows = all.map(
  ({ mutant, seeds, rules }) =>
    `| \`${mutant.name}\` | ${mutant.bug} | ${rules[0] ?? "none"} | ${seeds ?? "survived"} | ${mutant.seedsMax} |`,
)
process.stdout.write(
  ["| mutant | bug | caught by | seeds needed | seeds allowed |", "|---|---|---|---|---|", ...rows, ""].join(
    "\n",
  ),
)
process.exitCode = all.some(({ seeds }) => seeds === undefined) ? 1 : 0
