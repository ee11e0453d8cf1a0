/** Runs `task` now and then `intervalMs` after each end of it, until the returned function is called. */
export function poll(intervalMs: number, task: () => Promise<void>): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  const run = async () => {
    // A hidden tab need not ask; it catches up as soon as it is looked at.
    if (!document.hidden) await task();
    if (!stopped) timer = setTimeout(run, intervalMs);
  };
  const onVisible = () => {
    if (document.hidden || stopped) return;
    clearTimeout(timer);
    void run();
  };
  document.addEventListener('visibilitychange', onVisible);
  void run();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', onVisible);
  };
}
