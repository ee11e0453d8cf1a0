// OpenAPI documents as validators.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';

const FILES = {
  openai: 'openai-realtime-subset.json',
  fly: 'fly-machines.json',
  'api.video': 'apivideo.yaml',
};

/** The document of a vendor, or null when it is not in the folder. */
export function load(folder, vendor) {
  const file = join(folder, FILES[vendor]);
  return existsSync(file) ? new Spec(parse(readFileSync(file, 'utf8'))) : null;
}

export class Spec {
  constructor(document) {
    this.document = document;
    toJsonSchema(document);
    const options = { strict: false, allErrors: true, validateFormats: true, unicodeRegExp: false, logger: false };
    this.ajv = document.openapi.startsWith('3.0') ? new Ajv(options) : new Ajv2020(options);
    addFormats(this.ajv);
    // Widths that OpenAPI knows and JSON Schema does not.
    for (const format of ['int32', 'int64', 'float', 'double', 'binary', 'password', 'unixtime']) this.ajv.addFormat(format, true);
    this.ajv.addSchema({ $id: 'spec', ...document });
    this.base = new URL(document.servers?.[0]?.url ?? 'http://x').pathname.replace(/\/$/, '');
    this.operations = Object.entries(document.paths).flatMap(([path, methods]) => this.#operations(path, methods));
    // A literal path wins over one with parameters.
    this.operations.sort((a, b) => a.parameters - b.parameters);
  }

  #operations(path, methods) {
    const names = ['get', 'post', 'put', 'patch', 'delete', 'head'];
    const pattern = new RegExp(`^${path.replace(/\{[^}]+\}/g, '[^/]+').replace(/\./g, '\\.')}/?$`);
    const parameters = (path.match(/\{/g) ?? []).length;
    return names.filter((method) => methods[method]).map((method) => ({ method, path, pattern, parameters, spec: methods[method] }));
  }

  /** The operation that an exchange belongs to. */
  find(method, path) {
    const inner = this.base !== '' && path.startsWith(`${this.base}/`) ? path.slice(this.base.length) : path;
    return this.operations.find((it) => it.method === method.toLowerCase() && it.pattern.test(inner));
  }

  /** Complaints about a body, by its JSON pointer in the document. */
  check(pointer, value) {
    const target = this.#resolve(pointer);
    let validate;
    try {
      validate = this.ajv.compile({ $ref: `spec#${target}` });
    } catch (error) {
      return [`the schema at ${pointer} cannot be used: ${error.message}`];
    }
    if (validate(value)) return [];
    const lines = validate.errors.map((error) => {
      const extra = error.params?.additionalProperty ?? error.params?.allowedValues ?? '';
      return `${error.instancePath || '(body)'} ${error.message} ${extra}`.trim();
    });
    return [...new Set(lines)].slice(0, 8);
  }

  /** Follows references between parts of the document that are not schemas. */
  #resolve(pointer) {
    let node = this.document;
    let path = '';
    for (const step of pointer.split('/').slice(1)) {
      node = node[step.replaceAll('~1', '/').replaceAll('~0', '~')];
      path = `${path}/${step}`;
      while (node?.$ref) {
        path = node.$ref.slice(1);
        node = path.split('/').slice(1).reduce((at, name) => at[name.replaceAll('~1', '/').replaceAll('~0', '~')], this.document);
      }
    }
    return path.split('/').map((step) => encodeURIComponent(step)).join('/');
  }
}

/**
 * Makes JSON Schema of what the documents say: `nullable: true` is OpenAPI 3.0's way to write
 * `null` into the type (and stands in 3.1 documents too), and `oneOf` lists alternatives that
 * overlap, where the vendors mean `anyOf`.
 */
function toJsonSchema(node) {
  if (node === null || typeof node !== 'object') return;
  if (Array.isArray(node.oneOf) && !node.anyOf) {
    node.anyOf = node.oneOf;
    delete node.oneOf;
  }
  if (typeof node.nullable === 'boolean') {
    const nullable = node.nullable;
    delete node.nullable;
    if (nullable && typeof node.type === 'string') {
      node.type = [node.type, 'null'];
      if (Array.isArray(node.enum) && !node.enum.includes(null)) node.enum.push(null);
    } else if (nullable) {
      const inner = { ...node };
      for (const key of Object.keys(node)) delete node[key];
      node.anyOf = [inner, { type: 'null' }];
    }
  }
  for (const child of Object.values(node)) toJsonSchema(child);
}

/** Leaves out what is null: the vendor sends null where its document says "absent". */
export function withoutNulls(value) {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (value === null || typeof value !== 'object') return value;
  const kept = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutNulls(inner)]));
}

/** A step of a JSON pointer. */
export function step(name) {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
