// A rule beside eslint-plugin-compat, whose list of static methods ends years ago (it knows no AbortSignal.any):
// MDN's own data, held against the floor in package.json.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = fileURLToPath(new URL('./node_modules/@mdn/browser-compat-data/data.json', import.meta.url));
const data = JSON.parse(readFileSync(path, 'utf8'));
const { browserslist } = JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8'));

const BROWSERS = { chrome: 'chrome', edge: 'edge', firefox: 'firefox', safari: 'safari', ios_saf: 'safari_ios' };
const floor = browserslist.map((each) => {
  const [name, version] = each.split(' ');
  return { name: BROWSERS[name], version: Number(version) };
});

/** The browsers of the floor that have no such thing. */
function missing({ support }) {
  return floor
    .filter(({ name, version }) => {
      const statements = [support?.[name] ?? []].flat();
      return !statements.some(
        ({ version_added: added, version_removed: removed, flags, prefix, alternative_name: other }) =>
          !flags && !prefix && !other && !removed && (added === true || Number(String(added).replace('≤', '')) <= version),
      );
    })
    .map(({ name, version }) => `${name} ${version}`);
}

/** "AbortSignal.any" → who lacks it. What a minified variable holds nobody can tell, so only globals are looked at. */
const statics = new Map();
for (const [object, members] of [...Object.entries(data.api), ...Object.entries(data.javascript.builtins)]) {
  for (const [key, { __compat: compat }] of Object.entries(members)) {
    if (compat && !key.endsWith('_event')) statics.set(`${object}.${key.replace(/_static$/, '')}`, missing(compat));
  }
}

/** Passkeys are a part of the sign-in library that is never called, and that looks before it calls. */
const UNUSED = ['PublicKeyCredential'];

export default {
  rules: {
    known: {
      meta: { schema: [], messages: { missing: '{{ name }} is not in {{ browsers }}' } },
      create: (context) => ({
        MemberExpression(node) {
          if (node.computed || node.object.type !== 'Identifier' || UNUSED.includes(node.object.name)) return;
          const name = `${node.object.name}.${node.property.name}`;
          const lacking = statics.get(name) ?? [];
          if (lacking.length === 0) return;
          context.report({ node, messageId: 'missing', data: { name, browsers: lacking.join(', ') } });
        },
      }),
    },
  },
};
