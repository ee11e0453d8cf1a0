import '@fontsource-variable/source-sans-3/index.css';
import '@fontsource-variable/source-serif-4/index.css';
import './styles/tokens.css';
import './styles/base.css';
import './styles/records.css';
import { mount } from 'svelte';
import App from './App.svelte';

const target = document.getElementById('app');
// `public/floor.js` takes it away where the browser is too old.
export default target ? mount(App, { target }) : null;
