import type { PlanChange, PlanDocument } from '../../sdk';

type Members = Record<string, unknown>;

const isMembers = (value: unknown): value is Members => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Without regard to the order of members. */
export function same(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (Array.isArray(one) && Array.isArray(other)) return one.length === other.length && one.every((part, n) => same(part, other[n]));
  if (!isMembers(one) || !isMembers(other)) return false;
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => name in other && same(one[name], other[name]));
}

/** What parts of a list are called: by their id, or by what they are; the second of the same name gets a number. */
export function namesOf(parts: readonly unknown[]): string[] {
  const seen = new Map<string, number>();
  return parts.map((part) => {
    const id = isMembers(part) ? (part['id'] ?? part['finding']) : part;
    const name = typeof id === 'string' ? id : JSON.stringify(part);
    const times = (seen.get(name) ?? 0) + 1;
    seen.set(name, times);
    return times === 1 ? name : `${name}#${times}`;
  });
}

/** What was done to `before` to get `after`, by ids, as the server's comparison of two versions tells it. */
export function changesBetween(before: PlanDocument, after: PlanDocument): PlanChange[] {
  const changes: PlanChange[] = [];
  compare('', before, after, changes);
  return changes;
}

const join = (path: string, name: string) => (path === '' ? name : `${path}/${name}`);

function compare(path: string, before: unknown, after: unknown, changes: PlanChange[]): void {
  if (same(before, after)) return;
  if (before === undefined) changes.push({ path, what: 'added', after });
  else if (after === undefined) changes.push({ path, what: 'removed', before });
  else if (isMembers(before) && isMembers(after)) {
    for (const name of [...new Set([...Object.keys(before), ...Object.keys(after)])]) compare(join(path, name), before[name], after[name], changes);
  } else if (Array.isArray(before) && Array.isArray(after)) compareLists(path, before, after, changes);
  else changes.push({ path, what: 'changed', before, after });
}

function compareLists(path: string, before: unknown[], after: unknown[], changes: PlanChange[]): void {
  const [earlier, later] = [namesOf(before), namesOf(after)];
  for (const name of [...new Set([...earlier, ...later])]) {
    compare(join(path, name), before[earlier.indexOf(name)], after[later.indexOf(name)], changes);
  }
  const [kept, keptNow] = [earlier.filter((name) => later.includes(name)), later.filter((name) => earlier.includes(name))];
  if (!same(kept, keptNow)) changes.push({ path, what: 'reordered', before: kept, after: keptNow });
}

/**
 * `mine` on top of `theirs`, both made from `base`: what only one of us has changed is as that one wants it. Where both did, mine
 * stays, and `clashes` names the place.
 */
export function merged(base: PlanDocument, mine: PlanDocument, theirs: PlanDocument): { document: PlanDocument; clashes: string[] } {
  const clashes: string[] = [];
  return { document: merge('', base, mine, theirs, clashes) as PlanDocument, clashes };
}

function merge(path: string, base: unknown, mine: unknown, theirs: unknown, clashes: string[]): unknown {
  if (same(mine, base) || same(mine, theirs)) return theirs;
  if (same(theirs, base)) return mine;
  if (isMembers(mine) && isMembers(theirs)) return mergeMembers(path, isMembers(base) ? base : {}, mine, theirs, clashes);
  if (Array.isArray(mine) && Array.isArray(theirs)) return mergeLists(path, Array.isArray(base) ? base : [], mine, theirs, clashes);
  clashes.push(path);
  // What one of us took away and the other went on writing stays.
  return mine === undefined ? theirs : mine;
}

function mergeMembers(path: string, base: Members, mine: Members, theirs: Members, clashes: string[]): Members {
  const result: Members = {};
  for (const name of new Set([...Object.keys(theirs), ...Object.keys(mine)])) {
    const value = merge(join(path, name), base[name], mine[name], theirs[name], clashes);
    if (value !== undefined) result[name] = value;
  }
  return result;
}

/** Parts by their names; the order is mine when I changed it, and new parts of theirs stand after the one they stood after. */
function mergeLists(path: string, base: unknown[], mine: unknown[], theirs: unknown[], clashes: string[]): unknown[] {
  const [was, own, other] = [namesOf(base), namesOf(mine), namesOf(theirs)];
  const ofBase = own.filter((name) => was.includes(name));
  const orderIsMine = !same(ofBase, was.filter((name) => own.includes(name)));
  const [lead, rest] = orderIsMine ? [own, other] : [other, own];
  const order = [...lead];
  for (const [n, name] of rest.entries()) {
    if (order.includes(name)) continue;
    const before = rest.slice(0, n).reverse().find((one) => order.includes(one));
    order.splice(before === undefined ? 0 : order.indexOf(before) + 1, 0, name);
  }
  return order
    .map((name) => merge(join(path, name), base[was.indexOf(name)], mine[own.indexOf(name)], theirs[other.indexOf(name)], clashes))
    .filter((part) => part !== undefined);
}
