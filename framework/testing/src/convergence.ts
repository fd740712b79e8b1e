/** A correct replica as it is once all is quiet. */
export interface FinalState {
  readonly replica: string
  readonly applied: number
  readonly chain: string
  readonly stateDigest: string
}

/** After healing, all correct replicas have executed the whole log, with one chain, and are in one state. */
export function checkConvergence(
  replicas: ReadonlyArray<FinalState>,
  log: { readonly lastSeq: number },
): ReadonlyArray<string> {
  const behind = replicas.filter(({ applied }) => applied !== log.lastSeq)
  const [first] = replicas
  const different = replicas.filter(
    ({ chain, stateDigest }) => chain !== first?.chain || stateDigest !== first.stateDigest,
  )
  return [
    ...behind.map(({ replica, applied }) => `${replica} is at ${applied} of ${log.lastSeq}`),
    ...different.map(({ replica }) => `${replica} differs from ${first?.replica}`),
  ]
}
