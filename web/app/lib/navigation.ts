import { PLANS_PATH, directoryPath, invitesPath, type Route } from './router.svelte';

/** The pages of a recruiter, in the order of the navigation. */
export const NAVIGATION: readonly { label: string; path: string; pages: readonly Route['page'][] }[] = [
  { label: 'Interviews', path: '#/console', pages: ['home', 'console', 'detail'] },
  { label: 'Invites', path: invitesPath, pages: ['invites', 'inviteMany'] },
  { label: 'Candidates', path: directoryPath('candidates'), pages: ['candidates', 'import'] },
  { label: 'Positions', path: directoryPath('positions'), pages: ['positions'] },
  { label: 'Competencies', path: directoryPath('competencies'), pages: ['competencies'] },
  { label: 'Plans', path: PLANS_PATH, pages: ['plans'] },
];
