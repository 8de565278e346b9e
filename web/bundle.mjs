// SPDX-License-Identifier: MIT
//
// node web/bundle.mjs MODULES OUT - makes the report page, one HTML file, from src/ with the
// libraries in the folder MODULES (as web/modules prints it).

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const WEB = dirname(fileURLToPath(import.meta.url));
const MARKER = '<!--TARN-DATA-->';

/**
 * The packages whose code is in the bundle, with their licences: what their notices ask to be
 * passed on.
 */
function licencesOf(metafile, modules) {
    const names = new Set();
    for (const input of Object.keys(metafile.inputs)) {
        const at = input.lastIndexOf('node_modules/');
        if (at >= 0) {
            const parts = input.slice(at + 'node_modules/'.length).split('/');
            names.add(parts[0].startsWith('@') ? `${parts[0]}/${parts[1]}` : parts[0]);
        }
    }
    return [...names].sort().map((name) => licenceOf(join(modules, 'node_modules', name), name));
}

function licenceOf(folder, name) {
    const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const file = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'LICENCE']
        .map((f) => join(folder, f))
        .find(existsSync);
    if (file === undefined) {
        throw new Error(`${name} comes without the text of its licence`);
    }
    return { name, version, licence: license, text: readFileSync(file, 'utf8').trim() };
}

async function bundle(modules, licences) {
    const esbuild = createRequire(join(modules, 'package.json'))('esbuild');
    const result = await esbuild.build({
        entryPoints: [join(WEB, 'src/main.ts')],
        absWorkingDir: WEB,
        nodePaths: [join(modules, 'node_modules')],
        bundle: true,
        write: false,
        outdir: 'out',
        format: 'iife',
        target: ['chrome111', 'firefox113', 'safari16.4'],
        charset: 'utf8',
        minify: true,
        // d3-flame-graph knows a tree that it has laid out by the name of its class.
        keepNames: true,
        legalComments: 'inline',
        metafile: true,
        logLevel: 'warning',
        define: { LICENCES: JSON.stringify(licences) },
    });
    if (result.warnings.length > 0) {
        throw new Error('the bundler warns');
    }
    const text = (ending) => result.outputFiles.find((file) => file.path.endsWith(ending)).text;
    return { metafile: result.metafile, script: text('.js'), style: text('.css') };
}

function assemble({ script, style }) {
    const hash = createHash('sha256').update(script).digest('base64');
    const parts = { SCRIPT_HASH: `sha256-${hash}`, STYLE: style, SCRIPT: script };
    const page = readFileSync(join(WEB, 'src/page.html'), 'utf8').replace(
        /@(\w+)@/g,
        (all, name) => parts[name] ?? all,
    );
    if (page.split(MARKER).length !== 2) {
        throw new Error(`the page does not have ${MARKER} exactly once`);
    }
    if (script.includes('</script') || style.includes('</style')) {
        throw new Error('the bundle would end its own element');
    }
    return page;
}

async function main() {
    const [modules, out] = process.argv.slice(2);
    if (modules === undefined || out === undefined) {
        process.stderr.write('usage: node web/bundle.mjs MODULES OUT\n');
        process.exitCode = 2;
        return;
    }
    // Once to see which packages are in it, once more with their notices.
    const { metafile } = await bundle(modules, []);
    const page = assemble(await bundle(modules, licencesOf(metafile, modules)));
    writeFileSync(`${out}.part`, page);
    renameSync(`${out}.part`, out);
}

await main();
