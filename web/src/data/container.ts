// SPDX-License-Identifier: MIT

import { Fault, damaged } from './fault';
import type { Head, SectionEntry, SectionType } from './head';

/**
 * The container: a length, a JSON head of that length, and sections of numbers. Sections are looked
 * at where they lie; nothing is copied.
 */

export const FORMAT = 'tarn-report';
export const VERSION = 1;

const SIZES: Record<SectionType, number> = { u8: 1, u16: 2, u32: 4, f64: 8 };

type ArrayOf<T extends SectionType> = T extends 'u8'
    ? Uint8Array
    : T extends 'u16'
      ? Uint16Array
      : T extends 'u32'
        ? Uint32Array
        : Float64Array;

export class Container {
    readonly head: Head;
    private readonly buffer: ArrayBuffer;
    private readonly start: number;

    constructor(buffer: ArrayBuffer) {
        if (buffer.byteLength < 8) {
            throw damaged('it ends before its head');
        }
        const length = new DataView(buffer).getUint32(0, true);
        this.start = 4 + length;
        if (this.start > buffer.byteLength || this.start % 8 !== 0) {
            throw damaged('its head has no sensible length');
        }
        this.buffer = buffer;
        this.head = parseHead(new Uint8Array(buffer, 4, length));
    }

    has(name: string): boolean {
        return Object.hasOwn(this.head.sections, name);
    }

    /**
     * The section's numbers. It has to be of this type and, unless `count` is -1, of this many
     * elements.
     */
    section<T extends SectionType>(name: string, type: T, count = -1): ArrayOf<T> {
        const entry = this.head.sections[name];
        if (!this.has(name) || entry === undefined) {
            throw damaged(`the section ${name} is missing`);
        }
        this.verify(name, entry, type);
        if (count >= 0 && entry.count !== count) {
            throw damaged(`the section ${name} has ${entry.count} elements instead of ${count}`);
        }
        const at = this.start + entry.offset;
        switch (type as SectionType) {
            case 'u8':
                return new Uint8Array(this.buffer, at, entry.count) as ArrayOf<T>;
            case 'u16':
                return new Uint16Array(this.buffer, at, entry.count) as ArrayOf<T>;
            case 'u32':
                return new Uint32Array(this.buffer, at, entry.count) as ArrayOf<T>;
            default:
                return new Float64Array(this.buffer, at, entry.count) as ArrayOf<T>;
        }
    }

    private verify(name: string, entry: SectionEntry, type: SectionType): void {
        if (entry.type !== type) {
            throw damaged(`the section ${name} holds ${entry.type} instead of ${type}`);
        }
        const { offset, count } = entry;
        if (
            !Number.isSafeInteger(offset) ||
            !Number.isSafeInteger(count) ||
            offset < 0 ||
            count < 0
        ) {
            throw damaged(`the section ${name} has no sensible place`);
        }
        if (
            offset % 8 !== 0 ||
            this.start + offset + count * SIZES[type] > this.buffer.byteLength
        ) {
            throw damaged(`the section ${name} lies outside the data`);
        }
    }
}

function parseHead(bytes: Uint8Array): Head {
    let head: unknown;
    try {
        head = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch {
        throw damaged('its head is no JSON');
    }
    if (typeof head !== 'object' || head === null || (head as Head).format !== FORMAT) {
        throw damaged('it is not the data of a Tarn report');
    }
    const { version, sections } = head as Head;
    if (!Number.isInteger(version) || version < 1) {
        throw damaged('its version is not a number');
    }
    if (version > VERSION) {
        throw new Fault(
            `This report's data has version ${version}; its page knows versions up to ${VERSION}.`,
            'The page and the data come from different releases of Tarn. Write the report anew with one release.',
        );
    }
    if (typeof sections !== 'object' || sections === null) {
        throw damaged('its head lists no sections');
    }
    return head as Head;
}
