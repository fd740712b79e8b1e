import { drawScenario } from "../framework/testing/src/scenario.ts"
import { Simulation } from "../framework/testing/src/simulation.ts"
import { workloadNamed } from "../framework/testing/src/run.ts"
const seed = Number(process.argv[2])
const from = Number(process.argv[3] ?? 0),
  to = Number(process.argv[4] ?? 1e9)
const sc = drawScenario(seed, { mode: "primary-backup" })
const sim = new Simulation(sc, workloadNamed(sc.workload))
const old = sim.schedule.note.bind(sim.schedule)
sim.schedule.note = (t: string) => {
  if (sim.schedule.nowMs >= from && sim.schedule.nowMs <= to) console.log(Math.round(sim.schedule.nowMs), t)
  old(t)
}
const show = () => {
  console.log(
    Math.round(sim.schedule.nowMs),
    sim.replicas
      .map((r) => {
        const s = r.protocol?.status
        const g = s?.reign
        return `${r.replica}${r.isUp ? "" : "!"}:e${g?.epoch}${g?.master === r.replica ? "*" : ""}(${g?.master}) c${g?.committed} log${s?.applied}${s?.caughtUp ? "" : "~"}${s?.halted ? "H" + s.halted.reason : ""} in[${g?.inSync}] w${g?.lossWindow} p${g?.position} ${r.failure?.message ?? ""}`
      })
      .join("\n      "),
  )
}
for (let t = Math.max(from, 500); t < Math.min(to, 200000); t += Number(process.argv[5] ?? 2000))
  sim.schedule.after(t, "show", show)
sim.run()
show()
