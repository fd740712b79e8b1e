import { drawScenario, Simulation, workloadNamed } from "@lockstep/testing"
const seed = Number(process.argv[2])
const scenario = drawScenario(seed, { mode: "primary-backup" })
const sim = new Simulation(scenario, workloadNamed(scenario.workload))
sim.run()
for (const r of sim.records.filter((r) => r.caller.startsWith(process.argv[3] ?? "c0")).slice(0, 40))
  console.log(
    r.id,
    r.client,
    r.call.member,
    r.calledAtMs.toFixed(0),
    r.returnedAtMs?.toFixed(0),
    r.seq,
    r.errors.map((e) => e.name + " " + (e as any).command?.number).join(),
  )
