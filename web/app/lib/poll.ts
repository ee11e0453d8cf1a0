/** Runs `task` now and then `intervalMs` after each end of it, until the returned function is called. */
export function poll(intervalMs: number, task: () => Promise<void>): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running = false;
  let stopped = false;
  const run = async () => {
    if (running || stopped) return;
    running = true;
    clearTimeout(timer);
    // A hidden tab need not ask; it catches up as soon as it is looked at.
    if (!document.hidden) await task();
    running = false;
    if (!stopped) timer = setTimeout(run, intervalMs);
  };
  const onVisible = () => {
    if (!document.hidden) void run();
  };
  document.addEventListener('visibilitychange', onVisible);
  void run();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', onVisible);
  };
}
