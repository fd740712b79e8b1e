import { readFileSync } from "node:fs"
import { drawResults, type Results } from "./results.ts"

/** npm run --silent bench:plot -- run.json … > picture.svg: draws what `npm run bench -- --json` printed before. */
const runs = process.argv.slice(2).map((file): Results => JSON.parse(readFileSync(file, "utf8")))
process.stdout.write(drawResults(runs))
