/** Keeps the screen on until the returned function is called. Browsers let go of it whenever the page is hidden. */
export function keepAwake(): () => void {
  let lock: WakeLockSentinel | null = null;
  let released = false;
  const take = async () => {
    if (document.hidden || released || (lock && !lock.released)) return;
    // Not every browser has it, and a phone that saves power refuses it. The interview goes on without.
    const taken = await navigator.wakeLock?.request('screen').catch(() => null);
    if (!taken) return;
    if (released) await taken.release().catch(() => undefined);
    else lock = taken;
  };
  const onVisible = () => void take();
  document.addEventListener('visibilitychange', onVisible);
  void take();
  return () => {
    released = true;
    document.removeEventListener('visibilitychange', onVisible);
    void lock?.release().catch(() => undefined);
  };
}
