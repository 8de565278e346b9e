// SPDX-License-Identifier: MIT
//
// read.mjs FOLDER FORMAT FILE - reads what `tarn report` exported with the packages in FOLDER, and says what is in it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const [folder, format, file] = process.argv.slice(2);
const load = createRequire(join(folder, 'package.json'));

function readPprof() {
    const { Profile } = load('pprof-format');
    const profile = Profile.decode(gunzipSync(readFileSync(file)));
    const text = (index) => profile.stringTable.strings[Number(index)];
    const functions = new Map(profile.function.map((each) => [Number(each.id), text(each.name)]));
    const locations = new Map(profile.location.map((each) => [Number(each.id), each]));
    const sums = [0, 0, 0, 0];
    for (const sample of profile.sample) {
        sample.value.forEach((value, index) => (sums[index] += Number(value)));
        const frames = sample.locationId.flatMap((id) => locations.get(Number(id)).line);
        const names = frames.map((line) => functions.get(Number(line.functionId)));
        const own = names.filter((name) => !name.startsWith('std::'));
        console.log(`${sample.value.join(' ')} ${own.slice(0, 3).join(' ')}`);
    }
    const types = profile.sampleType.map((type) => `${text(type.type)}/${text(type.unit)}`);
    console.log(`types ${types.join(' ')}`);
    ['allocations', 'bytes_allocated', 'blocks_end', 'live_end'].forEach((name, index) => {
        console.log(`${name} ${sums[index]}`);
    });
    for (const mapping of profile.mapping) {
        console.log(`build-id ${text(mapping.buildId)}`);
    }
}

function readSpeedscope() {
    const Ajv = load('ajv').default;
    const schema = JSON.parse(readFileSync(load.resolve('speedscope/dist/release/file-format-schema.json'), 'utf8'));
    const document = JSON.parse(readFileSync(file, 'utf8'));
    const validate = new Ajv({ strict: false }).compile(schema);
    if (!validate(document)) {
        throw new Error(JSON.stringify(validate.errors));
    }
    for (const profile of document.profiles) {
        const sum = profile.weights.reduce((whole, weight) => whole + weight, 0);
        if (profile.samples.length !== profile.weights.length || sum !== profile.endValue) {
            throw new Error(`the weights of '${profile.name}' do not fit`);
        }
        if (profile.samples.flat().some((frame) => frame >= document.shared.frames.length)) {
            throw new Error(`a frame of '${profile.name}' is not there`);
        }
        console.log(`${profile.name} ${sum}`);
    }
    console.log(`active ${document.profiles[document.activeProfileIndex].name}`);
}

({ pprof: readPprof, speedscope: readSpeedscope })[format]();
