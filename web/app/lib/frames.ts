/** Calls `draw` before every repaint until the returned function is called. */
export function everyFrame(draw: () => void): () => void {
  let handle = requestAnimationFrame(function frame() {
    draw();
    handle = requestAnimationFrame(frame);
  });
  return () => cancelAnimationFrame(handle);
}
