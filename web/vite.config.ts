import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// Where `npm run dev` sends everything that is not a source file. The built app needs no such setting:
// it is served by the gateway, so page, API and WebSocket share one origin.
const backend = process.env['BACKEND_URL'] ?? 'http://localhost:8080';

export default defineConfig({
  plugins: [svelte()],
  build: {
    // The floor: docs/BROWSERS.md, package.json (browserslist).
    target: ['chrome109', 'edge109', 'firefox115', 'safari16.4', 'ios16.4'],
    outDir: 'dist',
    emptyOutDir: true,
    // What is built is public; a map of its sources stays with whoever builds.
    sourcemap: false,
    // Nothing is inlined as a data: URL, so the page runs under a strict Content-Security-Policy.
    assetsInlineLimit: 0,
    // The licences of everything that is bundled travel with the bundle.
    license: { fileName: 'licenses.md' },
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      '/api': backend,
      '/sandbox': backend,
      '/ws': { target: backend, ws: true },
    },
  },
  test: {
    include: ['sdk/**/*.test.ts', 'app/**/*.test.ts'],
    environment: 'node',
  },
});
