// SPDX-License-Identifier: MIT

import { deflateSync } from 'node:zlib';

/** Writes what src/data/container.ts reads. */

export type Section = Uint8Array | Uint16Array | Uint32Array | Float64Array;

export function writeContainer(
    head: object,
    sections: Record<string, Section>,
): Uint8Array<ArrayBuffer> {
    const entries: Record<string, object> = {};
    let offset = 0;
    for (const [name, section] of Object.entries(sections)) {
        entries[name] = { type: typeOf(section), offset, count: section.length };
        offset += Math.ceil(section.byteLength / 8) * 8;
    }
    let text = JSON.stringify({ ...head, sections: entries });
    const length = new TextEncoder().encode(text).length;
    text += ' '.repeat((8 - ((4 + length) % 8)) % 8);
    const bytes = new TextEncoder().encode(text);
    const all = new Uint8Array(4 + bytes.length + offset);
    new DataView(all.buffer).setUint32(0, bytes.length, true);
    all.set(bytes, 4);
    let at = 4 + bytes.length;
    for (const section of Object.values(sections)) {
        all.set(new Uint8Array(section.buffer, section.byteOffset, section.byteLength), at);
        at += Math.ceil(section.byteLength / 8) * 8;
    }
    return all;
}

function typeOf(section: Section): string {
    if (section instanceof Uint8Array) {
        return 'u8';
    }
    if (section instanceof Uint16Array) {
        return 'u16';
    }
    return section instanceof Uint32Array ? 'u32' : 'f64';
}

export function packed(container: Uint8Array): string {
    return deflateSync(container, { level: 1 }).toString('base64');
}

/** The page with this data in the place of its marker, as `tarn report` writes it. */
export function pageWith(page: string, base64: string): string {
    return page.replace(
        '<!--TARN-DATA-->',
        () => `<script type="text/plain" id="tarn-data">${base64}</script>`,
    );
}
