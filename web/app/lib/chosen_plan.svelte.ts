import type { PlanDocument, PlanPin } from '../../sdk';
import { account } from './account.svelte';
import { explain } from './explain';
import { languageName, lookup } from './languages';

/** In place of a number of minutes: nothing is asked for, and the server takes the plan's time and a few minutes more. */
export const AS_THE_PLAN = 0;

/** The plan of the position that is chosen in a dialog: it says in which languages an interview can be held, and how long it takes. */
export class ChosenPlan {
  document = $state.raw<PlanDocument | null>(null);
  /** Until the plan is there nobody knows which languages there are. */
  reading = $state(false);
  problem = $state<string | null>(null);
  #round = 0;

  async read(pin: PlanPin | null | undefined): Promise<void> {
    const round = ++this.#round;
    this.document = null;
    this.problem = null;
    this.reading = Boolean(pin);
    if (!pin) return;
    try {
      const { document } = await account.plans.version(pin.plan_id, pin.version);
      if (round === this.#round) this.document = document;
    } catch (error) {
      if (round === this.#round) this.problem = explain(error);
    }
    if (round === this.#round) this.reading = false;
  }

  /** What can be chosen: the plan's languages, or `without` when there is no plan. */
  languages(without: readonly (readonly [string, string])[]): readonly (readonly [string, string])[] {
    return this.document ? this.document.languages.map((tag) => [tag, languageName(tag)] as const) : without;
  }

  /** The language that stays chosen: what was chosen so far when the plan has it. */
  language(chosen: string, without: readonly (readonly [string, string])[]): string {
    const plan = this.document;
    if (plan) return lookup(chosen, plan.languages) ?? plan.default_language;
    const known = without.map(([tag]) => tag);
    return known.includes(chosen) ? chosen : (known.find((tag) => lookup(tag, [chosen]) !== undefined) ?? known[0] ?? chosen);
  }

  /** The plan does not fit into so many minutes. */
  tooShort(minutes: number): boolean {
    return this.document !== null && minutes !== AS_THE_PLAN && minutes < this.document.minutes;
  }
}
