import type { Candidate, PlanDocument, PlanPin, PositionWithCompetencies, SessionSettings, Uuid } from '../../sdk';
import { account } from './account.svelte';
import { explain } from './explain';
import { languageName, lookup } from './languages';

/** In place of a number of minutes: nothing is asked for, and the server takes the plan's time and a few minutes more. */
export const AS_THE_PLAN = 0;
export const MINUTES = [10, 15, 20, 30, 45, 60];

/** Without a plan the interviewer speaks every language; these are offered. */
const LANGUAGES: (readonly [string, string])[] = [
  ['en-US', 'English (US)'],
  ['en-GB', 'English (UK)'],
  ['de-DE', 'German'],
  ['fr-FR', 'French'],
  ['es-ES', 'Spanish'],
  ['it-IT', 'Italian'],
  ['pt-BR', 'Portuguese (Brazil)'],
  ['nl-NL', 'Dutch'],
  ['pl-PL', 'Polish'],
  ['ja-JP', 'Japanese'],
];
const USUAL_MINUTES = 30;

interface Source {
  candidates: () => Promise<{ items: Candidate[] }>;
  positions: () => Promise<{ items: PositionWithCompetencies[] }>;
  plan: (pin: PlanPin) => Promise<PlanDocument>;
}

const SERVER: Source = {
  candidates: () => account.api.candidates(),
  positions: () => account.api.positions(),
  plan: async ({ plan_id, version }) => (await account.plans.version(plan_id, version)).document,
};

/** What is asked for wherever an interview is set up: for whom and which position, in which language, and how long. */
export class InterviewSetup {
  candidates = $state.raw<Candidate[]>([]);
  positions = $state.raw<PositionWithCompetencies[]>([]);
  loaded = $state(false);
  problem = $state<string | null>(null);
  candidateId = $state<Uuid | ''>('');
  positionId = $state<Uuid | ''>('');
  language = $state('en-US');
  minutes = $state(USUAL_MINUTES);
  /** Of the position: it says in which languages an interview can be held, and how long it takes. */
  plan = $state.raw<PlanDocument | null>(null);
  /** Until the plan is there nobody knows which languages there are. */
  readingPlan = $state(false);
  #round = 0;

  constructor(private readonly source: Source = SERVER) {}

  get candidate(): Candidate | undefined {
    return this.candidates.find(({ id }) => id === this.candidateId);
  }

  get position(): PositionWithCompetencies | undefined {
    return this.positions.find(({ id }) => id === this.positionId);
  }

  get pin(): PlanPin | null {
    return this.position?.plan ?? null;
  }

  /** An empty form, or one for the same as before. */
  async begin(again: { candidateId: Uuid; positionId: Uuid } | null = null): Promise<void> {
    this.problem = null;
    this.candidateId = '';
    this.choosePosition('');
    try {
      const [people, jobs] = await Promise.all([this.source.candidates(), this.source.positions()]);
      this.candidates = people.items;
      this.positions = jobs.items;
      this.loaded = true;
    } catch (error) {
      this.problem = explain(error);
      return;
    }
    if (!again) return;
    this.candidateId = again.candidateId;
    await this.choosePosition(again.positionId);
  }

  async choosePosition(id: Uuid | ''): Promise<void> {
    this.positionId = id;
    const [pin, round] = [this.pin, ++this.#round];
    this.plan = null;
    this.problem = null;
    this.readingPlan = pin !== null;
    if (pin) this.minutes = AS_THE_PLAN;
    else if (this.minutes === AS_THE_PLAN) this.minutes = USUAL_MINUTES;
    if (pin) {
      try {
        const plan = await this.source.plan(pin);
        if (round === this.#round) this.plan = plan;
      } catch (error) {
        if (round === this.#round) this.problem = explain(error);
      }
      if (round !== this.#round) return;
      this.readingPlan = false;
    }
    this.language = this.#kept();
  }

  /** The language that stays chosen: what was chosen so far when it is there. */
  #kept(): string {
    const there = this.languages.map(([tag]) => tag);
    const fitting = there.includes(this.language) ? this.language : lookup(this.language, there);
    const fuller = there.find((tag) => lookup(tag, [this.language]) !== undefined);
    return fitting ?? fuller ?? this.plan?.default_language ?? there[0] ?? this.language;
  }

  get languages(): (readonly [string, string])[] {
    return this.plan?.languages.map((tag) => [tag, languageName(tag)] as const) ?? LANGUAGES;
  }

  /** The plan does not fit into the time that is chosen. */
  get tooShort(): boolean {
    return this.plan !== null && this.minutes !== AS_THE_PLAN && this.minutes < this.plan.minutes;
  }

  get settings(): SessionSettings {
    return { language: this.language, ...(this.minutes === AS_THE_PLAN ? {} : { max_duration_s: this.minutes * 60 }) };
  }
}
