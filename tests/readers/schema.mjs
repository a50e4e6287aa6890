// SPDX-License-Identifier: MIT
// usage: schema.mjs NODE_MODULES SCHEMA FILE
// Fails where the file is not as the schema wants it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [modules, ...files] = process.argv.slice(2);
const Ajv = createRequire(`${modules}/`)('ajv').default;
const [schema, data] = files.map((file) => JSON.parse(readFileSync(file)));
const validate = new Ajv({ strict: false }).compile(schema);
if (!validate(data))
    throw new Error(JSON.stringify(validate.errors.slice(0, 3)));
