/**
 * The interviewer's voice in an audio element. The system stops it for a phone call or a locked screen, and a
 * browser may refuse to play: it is played again as soon as the page is seen, and where that is refused, a button
 * has to be pressed.
 */
export class Playback {
  /** The browser wants a click. */
  blocked = $state(false);
  #audio: HTMLAudioElement | null = null;
  #unbind: () => void = () => undefined;

  attach(audio: HTMLAudioElement): () => void {
    this.#audio = audio;
    const onPause = () => void this.play();
    const onPlaying = () => (this.blocked = false);
    audio.addEventListener('pause', onPause);
    audio.addEventListener('playing', onPlaying);
    this.#unbind = () => {
      audio.removeEventListener('pause', onPause);
      audio.removeEventListener('playing', onPlaying);
    };
    return () => {
      this.#unbind();
      this.#audio = null;
    };
  }

  setStream(stream: MediaStream | null): void {
    if (!this.#audio || this.#audio.srcObject === stream) return;
    this.#audio.srcObject = stream;
    void this.play();
  }

  /** `true` when it plays. */
  async play(): Promise<boolean> {
    const audio = this.#audio;
    // A hidden page is refused more often than not; it is tried again when it is seen.
    if (!audio?.srcObject || document.hidden) return false;
    try {
      await audio.play();
      this.blocked = false;
      return true;
    } catch (error) {
      // A newer stream took the place of this one while it was being started.
      if (error instanceof DOMException && error.name === 'AbortError') return false;
      this.blocked = true;
      return false;
    }
  }
}
