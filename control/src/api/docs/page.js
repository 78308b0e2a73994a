'use strict';

const METHODS = ['get', 'post', 'patch', 'put', 'delete'];

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function resolve(spec, schema) {
  if (!schema || !schema.$ref) return schema;
  return schema.$ref.slice(2).split('/').reduce((node, key) => node && node[key], spec);
}

// What a schema looks like, in short; deep or circular parts are cut.
function outline(spec, schema, depth = 0) {
  const known = resolve(spec, schema);
  if (!known || depth > 5) return '…';
  const choices = known.oneOf || known.anyOf;
  if (choices) return choices.map((choice) => outline(spec, choice, depth + 1));
  if (known.enum) return known.enum.join(' | ');
  const type = [].concat(known.type || 'any');
  if (type.includes('object') && known.properties) {
    return Object.fromEntries(
      Object.entries(known.properties).map(([key, value]) => [key, outline(spec, value, depth + 1)]));
  }
  if (type.includes('array')) return [outline(spec, known.items, depth + 1)];
  return type.join(' | ') + (known.format ? ` (${known.format})` : '');
}

function table(heads, rows) {
  const made = element('table');
  const head = made.insertRow();
  heads.forEach((text) => head.append(element('th', text)));
  rows.forEach((row) => {
    const line = made.insertRow();
    row.forEach((text) => { line.insertCell().textContent = text; });
  });
  return made;
}

function schemaOf(body) {
  return Object.values((body && body.content) || {}).map((content) => content.schema)[0];
}

function fill(spec, box, operation) {
  if (operation.description) box.append(element('p', operation.description));
  if (operation.parameters && operation.parameters.length) {
    box.append(table(['parameter', 'in', 'meaning'], operation.parameters.map((parameter) =>
      [parameter.name + (parameter.required ? ' *' : ''), parameter.in, parameter.description || ''])));
  }
  const body = schemaOf(operation.requestBody);
  if (body) {
    box.append(element('p', 'Body', 'quiet'));
    box.append(element('pre', JSON.stringify(outline(spec, body), null, 2)));
  }
  const answers = Object.entries(operation.responses || {});
  box.append(table(['status', 'meaning'], answers.map(([status, answer]) => [status, answer.description || ''])));
  const success = answers.find(([status]) => status.startsWith('2'));
  const shape = success && schemaOf(success[1]);
  if (shape) box.append(element('pre', JSON.stringify(outline(spec, shape), null, 2)));
}

function tryButton(path) {
  const button = element('button', 'Send');
  const result = element('pre');
  result.hidden = true;
  button.addEventListener('click', async () => {
    result.hidden = false;
    try {
      const answer = await fetch(path);
      const text = await answer.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON */ }
      result.textContent = `${answer.status}\n${shown}`;
    } catch (error) {
      result.textContent = String(error);
    }
  });
  const box = element('div');
  box.append(button, result);
  return box;
}

function show(spec) {
  const main = document.getElementById('operations');
  main.replaceChildren();
  const groups = new Map();
  for (const [path, item] of Object.entries(spec.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = (item[method].tags || ['Other'])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push([path, method, item[method]]);
    }
  }
  for (const [tag, operations] of groups) {
    const section = element('section');
    section.append(element('h2', tag));
    for (const [path, method, operation] of operations) {
      const details = element('details');
      details.dataset.text = `${method} ${path} ${operation.summary || ''}`.toLowerCase();
      const summary = element('summary');
      const name = method.toUpperCase();
      summary.append(element('span', name, `method ${name}`), element('code', path),
        element('span', operation.summary || '', 'quiet'));
      details.append(summary);
      // Filled when opened: hundreds of keys take a while to draw.
      details.addEventListener('toggle', () => {
        if (!details.open || details.dataset.filled) return;
        details.dataset.filled = 'yes';
        const box = element('div');
        fill(spec, box, operation);
        const streams = Object.values(operation.responses).some((answer) =>
          answer.content && answer.content['text/event-stream']);
        const needed = (operation.parameters || []).some((parameter) => parameter.required);
        if (method === 'get' && !needed && !streams) box.append(tryButton(path));
        details.append(box);
      });
      section.append(details);
    }
    main.append(section);
  }
}

document.getElementById('filter').addEventListener('input', (event) => {
  const wanted = event.target.value.toLowerCase();
  document.querySelectorAll('details').forEach((details) => {
    details.hidden = !details.dataset.text.includes(wanted);
  });
});

fetch('/v3/openapi.json')
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
  .then(show)
  .catch((error) => { document.getElementById('operations').textContent = `The document cannot be read: ${error}`; });
