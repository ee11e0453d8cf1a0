// The first thing that runs, in a browser of any age: so it is written as for the oldest, and is not bundled.
// It looks for what this app uses and the floor of docs/BROWSERS.md has, and says so when something is missing.
(function () {
  'use strict';

  function say(title, lines, reload) {
    var app = document.getElementById('app') || document.getElementById('too-old');
    if (!app) return;
    // Nothing is mounted here any more.
    app.id = 'too-old';
    while (app.firstChild) app.removeChild(app.firstChild);
    var page = document.createElement('div');
    page.className = 'page narrow stack';
    app.appendChild(page);
    var heading = document.createElement('h1');
    heading.appendChild(document.createTextNode(title));
    page.appendChild(heading);
    for (var index = 0; index < lines.length; index += 1) {
      var line = document.createElement('p');
      line.appendChild(document.createTextNode(lines[index]));
      page.appendChild(line);
    }
    if (!reload) return;
    var button = document.createElement('button');
    button.className = 'button primary';
    button.appendChild(document.createTextNode('Reload this page'));
    button.onclick = function () {
      location.reload();
    };
    page.appendChild(button);
  }

  var has = [
    'noModule' in document.createElement('script'),
    'fetch' in window && 'AbortController' in window && 'ReadableStream' in window && 'TextDecoder' in window,
    'at' in Array.prototype && 'findLast' in Array.prototype && 'hasOwn' in Object,
    'HTMLDialogElement' in window && 'inert' in HTMLElement.prototype,
    'CSS' in window && CSS.supports('height', '100dvh')
  ];
  for (var index = 0; index < has.length; index += 1) {
    if (has[index]) continue;
    say('This browser is too old for this page', [
      'Please update it, or open the link in another one: Chrome or Edge 109, Firefox 115, Safari or iOS 16.4, or anything newer.',
      'Nothing has been started, and nothing is lost: an interview you were invited to waits for you.'
    ], false);
    return;
  }

  // A script that does not arrive would leave an empty page.
  window.addEventListener('error', function (event) {
    if (event.target && event.target.tagName === 'SCRIPT') {
      say('This page could not be loaded', ['Please check your connection and reload the page. Nothing is lost.'], true);
    }
  }, true);
})();
