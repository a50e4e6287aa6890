// SPDX-License-Identifier: MIT
// usage: pprof.mjs NODE_MODULES PROFILE
// Prints {total, self by function} of a saved profile, as npm's pprof-format reads it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { gunzipSync } from 'node:zlib';

const { Profile } = createRequire(`${process.argv[2]}/`)('pprof-format');
const profile = Profile.decode(gunzipSync(readFileSync(process.argv[3])));
const strings = profile.stringTable.strings;
const byId = (list) => new Map(list.map((item) => [Number(item.id), item]));
const functions = byId(profile.function), locations = byId(profile.location);
const mappings = byId(profile.mapping);
const self = {};
let total = 0;
if (strings[0] !== '' || new Set(strings).size !== strings.length)
    throw new Error('the strings are not each there once, the empty one first');
for (const mapping of mappings.values())
    if (!mapping.hasFunctions || !mapping.hasFilenames || !mapping.hasLineNumbers)
        throw new Error(`readers would name mapping ${mapping.id} again`);
for (const sample of profile.sample) {
    if (sample.value.length !== profile.sampleType.length)
        throw new Error('a value for each type is wanted');
    const leaf = locations.get(Number(sample.locationId[0]));
    if (Number(leaf.address) > Number(mappings.get(Number(leaf.mappingId)).memoryLimit))
        throw new Error(`location ${leaf.id} lies outside of its mapping`);
    const name = strings[Number(functions.get(Number(leaf.line[0].functionId)).name)];
    self[name] = (self[name] ?? 0) + Number(sample.value[0]);
    total += Number(sample.value[0]);
}
console.log(JSON.stringify({ total, self }));
