// One question only: does the built bundle use anything that the oldest supported browsers do not have?
// They are listed in package.json (browserslist), explained in docs/BROWSERS.md, and what Vite builds for.
import compat from 'eslint-plugin-compat';
import floor from './eslint.floor.js';

export default [
  {
    files: ['dist/**/*.js'],
    plugins: { compat, floor },
    languageOptions: { ...compat.configs['flat/recommended'].languageOptions, ecmaVersion: 2022, sourceType: 'module' },
    // What is bundled does not get to switch it off.
    linterOptions: { noInlineConfig: true },
    // Looked for before it is used: without it the screen may go dark.
    settings: { polyfills: ['navigator.wakeLock'] },
    rules: { 'compat/compat': 'error', 'floor/known': 'error' },
  },
];
