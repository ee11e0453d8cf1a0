export interface Limit {
  signal: AbortSignal;
  /** Stops the clock and lets go of the other signals; long-lived ones would otherwise collect listeners. */
  release: () => void;
}

/**
 * A signal that is aborted by any of `signals`, or after `timeoutMs`. `AbortSignal.any` and `AbortSignal.timeout`
 * are younger than the browsers this runs in.
 */
export function limitedBy(signals: readonly (AbortSignal | null | undefined)[], timeoutMs?: number): Limit {
  const limit = new AbortController();
  const sources = signals.filter((each): each is AbortSignal => each != null);
  const stops: (() => void)[] = [];
  const release = () => {
    for (const stop of stops.splice(0)) stop();
  };
  const abort = (reason: unknown) => {
    release();
    limit.abort(reason);
  };
  for (const source of sources) {
    if (source.aborted) {
      abort(source.reason);
      break;
    }
    const onAbort = () => abort(source.reason);
    source.addEventListener('abort', onAbort);
    stops.push(() => source.removeEventListener('abort', onAbort));
  }
  if (timeoutMs !== undefined && !limit.signal.aborted) {
    const timer = setTimeout(() => abort(new DOMException('no answer', 'TimeoutError')), timeoutMs);
    stops.push(() => clearTimeout(timer));
  }
  return { signal: limit.signal, release };
}
