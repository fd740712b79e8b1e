/** Of the page. Nothing is said by colour alone: every row has its words, and what is odd is striped as well. */
export const STYLE = `
:root { color-scheme: light dark; --text: #1d2329; --soft: #56606b; --ground: #fbfbf9; --line: #dcdfe2; --track: #eef0f1;
  --caller: #3d6ea8; --replica: #4b8a72; --odd: #a4502c; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7ea; --soft: #a3acb5; --ground: #15191d; --line: #333a41; --track: #20262b;
  --caller: #7fa9dc; --replica: #79bfa2; --odd: #e29a77; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1.25rem 3rem; background: var(--ground); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 0 0 .25rem; font-size: 1.2rem; line-height: 1.3; }
header p, section > p { margin: .25rem 0 .75rem; max-width: 70ch; color: var(--soft); }
nav ol { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: .5rem 0 0; padding-left: 1.25rem; }
nav li { padding-right: .75rem; }
a { color: var(--caller); }
section { margin-top: 2.25rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
code, td, .name { font-family: ui-monospace, monospace; font-size: .875rem; }
.facts { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 0 0 1rem; }
dt { font-size: .8125rem; color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.spans, .spans ol { list-style: none; margin: 0; padding: 0; }
summary, .scale { display: grid; grid-template-columns: minmax(0, 21rem) minmax(0, 9.5rem) minmax(0, 1fr) 5.5rem; gap: 0 .75rem; align-items: center; }
summary { padding: .3rem .25rem; border-bottom: 1px solid var(--line); cursor: pointer; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary:hover { background: var(--track); }
summary:focus-visible, a:focus-visible { outline: 2px solid var(--caller); outline-offset: 2px; }
.name { padding-left: calc(var(--depth) * 1rem); overflow-wrap: anywhere; }
.name::before { content: "▸ "; color: var(--soft); }
details[open] > summary .name::before { content: "▾ "; }
.who { font-size: .875rem; color: var(--soft); }
.remark { display: block; white-space: nowrap; color: var(--odd); }
.track { position: relative; height: .9rem; background: var(--track); border-radius: 2px; overflow: hidden; }
.bar { position: absolute; top: 0; bottom: 0; min-width: 3px; border-radius: 2px; background: var(--caller); }
.bar.replica { background: var(--replica); }
.bar.odd { background: repeating-linear-gradient(135deg, var(--odd) 0 4px, transparent 4px 7px); border: 1px solid var(--odd); }
.lasts { text-align: right; font-variant-numeric: tabular-nums; font-size: .875rem; }
.scale { font-size: .8125rem; color: var(--soft); grid-template-columns: minmax(0, 31.25rem) 1fr auto 1fr 5.5rem; padding: 0 .25rem; }
.scale span:nth-child(1) { grid-column: 2; } .scale span:nth-child(2) { grid-column: 3; }
.scale span:nth-child(3) { grid-column: 4; text-align: right; }
table { margin: .5rem 0 .75rem calc(var(--depth) * 1rem + 1.25rem); border-collapse: collapse; font-size: .875rem; }
caption { text-align: left; color: var(--soft); }
th { text-align: left; font-weight: 500; padding: .1rem 1rem .1rem 0; vertical-align: top; }
td { overflow-wrap: anywhere; padding: .1rem 0; }
@media (max-width: 48rem) {
  summary { grid-template-columns: minmax(0, 1fr) auto; }
  .name { grid-area: 1 / 1; } .lasts { grid-area: 1 / 2; } .who { grid-area: 2 / 1 / auto / span 2; padding-left: calc(var(--depth) * 1rem + 1rem); }
  .remark { display: inline; margin-left: .5rem; }
  .track { grid-area: 3 / 1 / auto / span 2; margin: .2rem 0; }
  .scale { grid-template-columns: 1fr auto 1fr; }
  .scale span:nth-child(n) { grid-column: auto; }
  table { margin-left: .5rem; }
  th, td { display: block; padding: 0; } td { padding-bottom: .35rem; }
}
`
