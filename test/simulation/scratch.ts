import { drawScenario, Simulation, workloadNamed } from "@lockstep/testing"
const sc = drawScenario(Number(process.argv[2]))
const sim = new Simulation(sc, workloadNamed(sc.workload))
const r = sim.replicas[Number(process.argv[3]??0)]!
let n=0
const hook=()=>{ const p:any=r.protocol; if (p && !p.hooked) { p.hooked=true; const o=p.step.bind(p); p.step=(i:any)=>{const out=o(i); if (sim.schedule.nowMs> sim.healedAtMs && sim.healedAtMs>0 && i._tag!=="Entries"&&i._tag!=="Peer"&&n++<40) console.log(sim.schedule.nowMs.toFixed(0), i._tag, i._tag==="Entries"?i.entries[0].seq:i._tag==="Answer"?[i.from,i.answer._tag,i.answer.seq]:i._tag==="Attached"?i.firstSeq:"", out.map((x:any)=>x._tag+(x.to??"")+(x.request?._tag??"")).join()); return out} } sim.schedule.after(20,"hook",hook) }
sim.schedule.after(20,"hook",hook)
sim.run()
