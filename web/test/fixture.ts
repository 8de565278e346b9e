// SPDX-License-Identifier: MIT

import { type Section, writeContainer } from './container_writer';
import { Random } from './random';

/**
 * A made-up recording with everything in it, from a seed: a program whose blocks are all known, so
 * that what the page shows can be compared with what happened.
 */

export interface Block {
    begin: number;
    /** Infinity: never freed. */
    end: number;
    size: number;
    node: number;
    thread: number;
    address: number;
    isTemporary: boolean;
}

export interface Shape {
    seed: number;
    blocks: number;
    nodes: number;
    frames: number;
    threads: number;
    bins: number;
    stepsPerBin: number;
    columns: number;
    rows: number;
    durationNs: number;
}

export const SMALL: Shape = {
    seed: 7,
    blocks: 6000,
    nodes: 400,
    frames: 90,
    threads: 4,
    bins: 64,
    stepsPerBin: 8,
    columns: 256,
    rows: 128,
    durationNs: 4e9,
};

export interface Fixture {
    shape: Shape;
    head: Record<string, unknown>;
    sections: Record<string, Section>;
    blocks: Block[];
    parent: number[];
    frame: number[];
    bytes: Uint8Array<ArrayBuffer>;
}

export const SIZE_BOUNDS = [
    1,
    9,
    17,
    33,
    65,
    129,
    257,
    513,
    1025,
    2049,
    4097,
    8193,
    16385,
    65537,
    null,
];
export const LIFETIME_BOUNDS = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, null];

export function classOf(bounds: (number | null)[], value: number): number {
    return bounds.findIndex((bound) => bound === null || value < bound);
}

export function makeFixture(shape: Shape): Fixture {
    const random = new Random(shape.seed);
    const tree = makeTree(random, shape);
    const blocks = makeBlocks(random, shape);
    place(blocks);
    const sections: Record<string, Section> = {
        ...textSections(shape, random),
        'node.parent': Uint32Array.from(tree.parent),
        'node.frame': Uint32Array.from(tree.frame),
        ...peakSections(shape, blocks),
        ...cellSections(shape, blocks),
        ...curveSections(shape, blocks),
        ...classSections(shape, blocks),
        ...rectSections(shape, blocks),
        ...threadSections(shape, blocks),
        'bin.temporary': temporaryByBin(shape, blocks),
        ...pinSections(shape, blocks),
    };
    const map = mapSections(shape, blocks);
    Object.assign(sections, map.sections);
    const head = headOf(shape, blocks, map.bytesPerRow);
    return { shape, head, sections, blocks, ...tree, bytes: writeContainer(head, sections) };
}

/** Live bytes, blocks and time at the first moment when most is live. */
export function peakOf(blocks: Block[]): { time: number; bytes: number; blocks: number } {
    const changes = blocks.flatMap((block) => [
        { time: block.begin, bytes: block.size, blocks: 1 },
        ...(block.end < Infinity ? [{ time: block.end, bytes: -block.size, blocks: -1 }] : []),
    ]);
    changes.sort((a, b) => a.time - b.time);
    let [live, count] = [0, 0];
    let peak = { time: 0, bytes: 0, blocks: 0 };
    for (const change of changes) {
        live += change.bytes;
        count += change.blocks;
        if (live > peak.bytes) {
            peak = { time: change.time, bytes: live, blocks: count };
        }
    }
    return peak;
}

export function isLiveAt(block: Block, time: number): boolean {
    return block.begin <= time && time < block.end;
}

/** Node 0 is the root; each other node hangs somewhere below an earlier one, most of them deep. */
function makeTree(random: Random, shape: Shape): { parent: number[]; frame: number[] } {
    const parent = [0];
    const frame = [0];
    for (let i = 1; i < shape.nodes; i++) {
        parent.push(i < 6 ? 0 : Math.max(random.below(i), random.below(i >> 1)));
        frame.push(1 + random.below(shape.frames - 1));
    }
    return { parent, frame };
}

function makeBlocks(random: Random, shape: Shape): Block[] {
    const blocks: Block[] = [];
    const times = new Set<number>();
    const moment = (low: number): number => {
        let time = Math.floor(low);
        while (times.has(time)) {
            time++;
        }
        times.add(time);
        return time;
    };
    for (let i = 0; i < shape.blocks; i++) {
        const begin = moment(random.next() ** 0.7 * shape.durationNs * 0.98);
        const kind = random.next();
        const life =
            kind < 0.3 ? 200 + random.below(800) : random.logarithmic(1e4, shape.durationNs);
        const end = kind > 0.96 ? Infinity : moment(begin + life);
        blocks.push({
            begin,
            end: end < shape.durationNs ? end : Infinity,
            size: random.logarithmic(1, 60000),
            // Low nodes are hot; a few events have no stack.
            node: random.below(50) === 0 ? 0 : Math.floor(shape.nodes * random.next() ** 2),
            thread: Math.floor(shape.threads * random.next() ** 2),
            address: 0,
            isTemporary: false,
        });
    }
    blocks.sort((a, b) => a.begin - b.begin);
    markTemporary(blocks);
    return blocks;
}

/** A block is temporary if its thread does nothing between its birth and its end. */
function markTemporary(blocks: Block[]): void {
    const events = blocks.flatMap((block) => [
        { time: block.begin, block, isFree: false },
        { time: block.end, block, isFree: true },
    ]);
    events.sort((a, b) => a.time - b.time);
    const last = new Map<number, Block>();
    for (const { time, block, isFree } of events) {
        if (time === Infinity) {
            continue;
        }
        if (isFree) {
            block.isTemporary = last.get(block.thread) === block;
            last.delete(block.thread);
        } else {
            last.set(block.thread, block);
        }
    }
}

/** Gives each block the lowest place that is free for its whole life, in steps of 16 bytes. */
function place(blocks: Block[]): void {
    let live: Block[] = [];
    for (const block of blocks) {
        live = live.filter((other) => other.end > block.begin);
        live.sort((a, b) => a.address - b.address);
        let address = 0;
        for (const other of live) {
            if (other.address >= address + block.size) {
                break;
            }
            address = Math.ceil((other.address + other.size) / 16) * 16;
        }
        block.address = address;
        live.push(block);
    }
}

const MODULES = ['libc.so.6', 'program', 'libstdc++.so.6', 'plugin.so'];
const WORDS = [
    'parse',
    'read',
    'insert',
    'grow',
    'copy',
    'find',
    'emit',
    'walk',
    'make',
    'join',
    'split',
    'load',
];
const NOUNS = [
    'node',
    'table',
    'row',
    'string',
    'buffer',
    'tree',
    'token',
    'cache',
    'page',
    'query',
];

function textSections(shape: Shape, random: Random): Record<string, Section> {
    const texts = ['', ...MODULES];
    const sections: Record<string, Section> = {};
    const names = new Uint32Array(shape.frames);
    const files = new Uint32Array(shape.frames);
    const lines = new Uint32Array(shape.frames);
    const modules = new Uint32Array(shape.frames);
    for (let i = 0; i < shape.frames; i++) {
        const noun = NOUNS[random.below(NOUNS.length)];
        const name = `${noun}_${WORDS[random.below(WORDS.length)]}`;
        // An odd one now and then: templates, no name but an address, what would be HTML.
        const odd = [
            `std::vector<${noun}>::_M_realloc_insert(<b>${i}</b>)`,
            `0x${(4096 + i).toString(16)}`,
        ];
        names[i] =
            texts.push(i === 0 ? '(no stack)' : i % 11 === 0 ? odd[i % 2] : `${name}_${i}`) - 1;
        files[i] = i % 7 === 0 ? 0 : texts.push(`/src/program/${noun}.c`) - 1;
        lines[i] = files[i] === 0 ? 0 : 1 + random.below(900);
        modules[i] = i === 0 ? 0 : 1 + (i % MODULES.length);
    }
    const encoded = texts.map((text) => new TextEncoder().encode(text));
    const ends = new Uint32Array(texts.length);
    let total = 0;
    encoded.forEach((bytes, i) => {
        total += bytes.length;
        ends[i] = total;
    });
    const bytes = new Uint8Array(total);
    encoded.forEach((text, i) => bytes.set(text, ends[i] - text.length));
    sections['text.bytes'] = bytes;
    sections['text.ends'] = ends;
    sections['frame.function'] = names;
    sections['frame.file'] = files;
    sections['frame.line'] = lines;
    sections['frame.module'] = modules;
    return sections;
}

function peakSections(shape: Shape, blocks: Block[]): Record<string, Section> {
    const { time } = peakOf(blocks);
    const bytes = new Float64Array(shape.nodes);
    const counts = new Float64Array(shape.nodes);
    for (const block of blocks) {
        if (isLiveAt(block, time)) {
            bytes[block.node] += block.size;
            counts[block.node]++;
        }
    }
    return { 'node.peak_bytes': bytes, 'node.peak_blocks': counts };
}

export function binOf(shape: Shape, time: number): number {
    return Math.min(Math.floor(time / (shape.durationNs / shape.bins)), shape.bins - 1);
}

function cellSections(shape: Shape, blocks: Block[]): Record<string, Section> {
    const cells = Array.from({ length: shape.bins }, () => new Map<number, number[]>());
    const cell = (time: number, node: number): number[] => {
        const bin = cells[binOf(shape, time)];
        let found = bin.get(node);
        if (found === undefined) {
            found = [0, 0, 0, 0, 0];
            bin.set(node, found);
        }
        return found;
    };
    for (const block of blocks) {
        const born = cell(block.begin, block.node);
        born[0]++;
        born[1] += block.size;
        born[4] += block.isTemporary ? 1 : 0;
        if (block.end < Infinity) {
            const died = cell(block.end, block.node);
            died[2]++;
            died[3] += block.size;
        }
    }
    const all = cells.flatMap((bin) => [...bin].map(([node, values]) => [node, ...values]));
    let total = 0;
    return {
        'cell.ends': Uint32Array.from(cells, (bin) => (total += bin.size)),
        'cell.node': Uint32Array.from(all, (values) => values[0]),
        'cell.allocs': Uint32Array.from(all, (values) => values[1]),
        'cell.bytes': Float64Array.from(all, (values) => values[2]),
        'cell.frees': Uint32Array.from(all, (values) => values[3]),
        'cell.freed': Float64Array.from(all, (values) => values[4]),
        'cell.temporary': Uint32Array.from(all, (values) => values[5]),
    };
}

function curveSections(shape: Shape, blocks: Block[]): Record<string, Section> {
    const count = shape.bins * shape.stepsPerBin;
    const width = shape.durationNs / count;
    const [low, high, at] = [
        new Float64Array(count),
        new Float64Array(count),
        new Float64Array(count),
    ];
    const [counts, footprint] = [new Float64Array(count), new Float64Array(count)];
    const [allocs, frees] = [new Uint32Array(count), new Uint32Array(count)];
    const events = blocks.flatMap((block) => [
        { time: block.begin, block, sign: 1 },
        { time: block.end, block, sign: -1 },
    ]);
    events.sort((a, b) => a.time - b.time);
    let [live, number, top, next] = [0, 0, 0, 0];
    for (let step = 0; step < count; step++) {
        let [least, most] = [live, live];
        while (next < events.length && events[next].time < (step + 1) * width) {
            const { block, sign } = events[next++];
            live += sign * block.size;
            number += sign;
            (sign > 0 ? allocs : frees)[step]++;
            least = Math.min(least, live);
            most = Math.max(most, live);
            top = Math.max(top, block.address + block.size);
        }
        [low[step], high[step], at[step], counts[step], footprint[step]] = [
            least,
            most,
            live,
            number,
            top,
        ];
    }
    return {
        'curve.live_min': low,
        'curve.live_max': high,
        'curve.live': at,
        'curve.blocks': counts,
        'curve.allocs': allocs,
        'curve.frees': frees,
        'curve.footprint': footprint,
    };
}

function classSections(shape: Shape, blocks: Block[]): Record<string, Section> {
    const make = (classes: number): Float64Array => new Float64Array(shape.bins * classes);
    const [sizes, lives] = [SIZE_BOUNDS.length, LIFETIME_BOUNDS.length];
    const sections = {
        'size.counts': make(sizes),
        'size.bytes': make(sizes),
        'lifetime.counts': make(lives),
        'lifetime.bytes': make(lives),
    };
    for (const block of blocks) {
        const bin = binOf(shape, block.begin);
        const size = bin * sizes + classOf(SIZE_BOUNDS, block.size);
        const life = bin * lives + classOf(LIFETIME_BOUNDS, block.end - block.begin);
        sections['size.counts'][size]++;
        sections['size.bytes'][size] += block.size;
        sections['lifetime.counts'][life]++;
        sections['lifetime.bytes'][life] += block.size;
    }
    return sections;
}

function mapSections(
    shape: Shape,
    blocks: Block[],
): { sections: Record<string, Section>; bytesPerRow: number } {
    const { columns, rows, durationNs } = shape;
    const top = Math.max(...blocks.map((block) => block.address + block.size));
    const bytesPerRow = Math.ceil(top / rows / 16) * 16;
    const nsPerColumn = durationNs / columns;
    const count = columns * rows;
    const area = new Float64Array(count);
    const largest = new Float64Array(count);
    const sections = {
        'map.used': new Uint8Array(count),
        'map.size': new Uint8Array(count),
        'map.thread': new Uint8Array(count),
        'map.node': new Uint32Array(count),
        'map.born': new Uint16Array(count),
    };
    for (const block of blocks) {
        const end = Math.min(block.end, durationNs);
        for (
            let x = Math.floor(block.begin / nsPerColumn);
            x < columns && x * nsPerColumn < end;
            x++
        ) {
            const time =
                Math.min(end, (x + 1) * nsPerColumn) - Math.max(block.begin, x * nsPerColumn);
            for (
                let y = Math.floor(block.address / bytesPerRow);
                y * bytesPerRow < block.address + block.size;
                y++
            ) {
                const bytes =
                    Math.min(block.address + block.size, (y + 1) * bytesPerRow) -
                    Math.max(block.address, y * bytesPerRow);
                const cell = x * rows + y;
                area[cell] += time * bytes;
                if (time * bytes > largest[cell]) {
                    largest[cell] = time * bytes;
                    sections['map.size'][cell] = Math.floor(Math.log2(block.size));
                    sections['map.thread'][cell] = block.thread;
                    sections['map.node'][cell] = block.node;
                    sections['map.born'][cell] = Math.floor(block.begin / nsPerColumn);
                }
            }
        }
    }
    for (let cell = 0; cell < count; cell++) {
        const share = area[cell] / (nsPerColumn * bytesPerRow);
        sections['map.used'][cell] = share > 0 ? Math.max(1, Math.round(share * 255)) : 0;
    }
    return { sections, bytesPerRow };
}

function rectSections(shape: Shape, blocks: Block[]): Record<string, Section> {
    const end = (block: Block): number => Math.min(block.end, shape.durationNs);
    const area = (block: Block): number => block.size * (end(block) - block.begin);
    const most = [...blocks].sort((a, b) => area(b) - area(a)).slice(0, 2000);
    return {
        'rect.begin_ns': Float64Array.from(most, (block) => block.begin),
        'rect.end_ns': Float64Array.from(most, end),
        'rect.leaked': Uint8Array.from(most, (block) => (block.end === Infinity ? 1 : 0)),
        'rect.address': Float64Array.from(most, (block) => block.address),
        'rect.size': Float64Array.from(most, (block) => block.size),
        'rect.node': Uint32Array.from(most, (block) => block.node),
        'rect.thread': Uint8Array.from(most, (block) => block.thread),
    };
}

function threadSections(shape: Shape, blocks: Block[]): Record<string, Section> {
    const rows: number[][] = [];
    const ends: number[] = [];
    for (let bin = 0; bin < shape.bins; bin++) {
        for (let thread = 0; thread < shape.threads; thread++) {
            const own = blocks.filter(
                (block) => block.thread === thread && binOf(shape, block.begin) === bin,
            );
            if (own.length > 0) {
                rows.push([thread, own.length, own.reduce((sum, block) => sum + block.size, 0)]);
            }
        }
        ends.push(rows.length);
    }
    return {
        'thread.ends': Uint32Array.from(ends),
        'thread.index': Uint32Array.from(rows, (row) => row[0]),
        'thread.allocs': Uint32Array.from(rows, (row) => row[1]),
        'thread.bytes': Float64Array.from(rows, (row) => row[2]),
    };
}

function temporaryByBin(shape: Shape, blocks: Block[]): Float64Array {
    const counts = new Float64Array(shape.bins);
    for (const block of blocks) {
        counts[binOf(shape, block.begin)] += block.isTemporary ? 1 : 0;
    }
    return counts;
}

const PAGE = 4096;

interface Pages {
    pages: number;
    full: number;
    free: number;
    byNode: Map<number, { bytes: number; pages: number }>;
}

/** The free bytes of each partly used page, shared among those whose blocks are on it. */
function pagesAt(blocks: Block[], time: number): Pages {
    const used = new Map<number, Map<number, number>>();
    for (const block of blocks.filter((other) => isLiveAt(other, time))) {
        for (
            let page = Math.floor(block.address / PAGE);
            page * PAGE < block.address + block.size;
            page++
        ) {
            const bytes =
                Math.min(block.address + block.size, (page + 1) * PAGE) -
                Math.max(block.address, page * PAGE);
            const owners = used.get(page) ?? new Map<number, number>();
            owners.set(block.node, (owners.get(block.node) ?? 0) + bytes);
            used.set(page, owners);
        }
    }
    const found: Pages = { pages: used.size, full: 0, free: 0, byNode: new Map() };
    for (const owners of used.values()) {
        const total = [...owners.values()].reduce((sum, bytes) => sum + bytes, 0);
        found.full += total === PAGE ? 1 : 0;
        found.free += PAGE - total;
        for (const [node, bytes] of owners) {
            const pin = found.byNode.get(node) ?? { bytes: 0, pages: 0 };
            pin.bytes += (PAGE - total) * (bytes / total);
            pin.pages += total === PAGE ? 0 : bytes / total;
            found.byNode.set(node, pin);
        }
    }
    return found;
}

export function snapshotTimes(shape: Shape, blocks: Block[]): number[] {
    return [shape.durationNs * 0.25, peakOf(blocks).time, shape.durationNs].sort((a, b) => a - b);
}

function pinSections(shape: Shape, blocks: Block[]): Record<string, Section> {
    const rows: number[][] = [];
    const ends: number[] = [];
    for (const time of snapshotTimes(shape, blocks)) {
        for (const [node, pin] of pagesAt(blocks, time).byNode) {
            rows.push([node, pin.bytes, pin.pages]);
        }
        ends.push(rows.length);
    }
    return {
        'pin.ends': Uint32Array.from(ends),
        'pin.node': Uint32Array.from(rows, (row) => row[0]),
        'pin.bytes': Float64Array.from(rows, (row) => row[1]),
        'pin.pages': Float64Array.from(rows, (row) => row[2]),
    };
}

function headOf(shape: Shape, blocks: Block[], bytesPerRow: number): Record<string, unknown> {
    const peak = peakOf(blocks);
    const freed = blocks.filter((block) => block.end < Infinity);
    const rest = blocks.filter((block) => block.end === Infinity);
    const total = (some: Block[]): number => some.reduce((sum, block) => sum + block.size, 0);
    const top = Math.max(...blocks.map((block) => block.address + block.size));
    const temporary = blocks.filter((block) => block.isTemporary);
    return {
        format: 'tarn-report',
        version: 1,
        program: programHead(),
        summary: {
            events: blocks.length + freed.length,
            allocations: blocks.length,
            frees: freed.length,
            reallocs: 12,
            failed: 0,
            bytes_allocated: total(blocks),
            peak_live: peak.bytes,
            peak_time_ns: peak.time,
            peak_blocks: peak.blocks,
            live_end: total(rest),
            blocks_end: rest.length,
            duration_ns: shape.durationNs,
            threads: shape.threads,
            temporary: temporary.length,
            temporary_bytes: total(temporary),
            stacks: shape.nodes - 1,
            modules: MODULES.length,
            page_size: PAGE,
        },
        threads: Array.from({ length: shape.threads }, (_, i) => {
            const own = blocks.filter((block) => block.thread === i);
            return {
                id: 1000 + i,
                name: i === 0 ? 'main' : `worker-${i}`,
                allocations: own.length,
                bytes: total(own),
            };
        }),
        pools: POOLS,
        bins: { count: shape.bins, width_ns: shape.durationNs / shape.bins },
        curve: {
            count: shape.bins * shape.stepsPerBin,
            width_ns: shape.durationNs / shape.bins / shape.stepsPerBin,
        },
        sizes: { bounds: SIZE_BOUNDS },
        lifetimes: { bounds_ns: LIFETIME_BOUNDS },
        map: {
            columns: shape.columns,
            rows: shape.rows,
            ns_per_column: shape.durationNs / shape.columns,
            bytes_per_row: bytesPerRow,
            bottom: 0,
            layout: 'best-fit (simulated)',
            peak_footprint: top,
        },
        snapshots: snapshotTimes(shape, blocks).map((time) => {
            const pages = pagesAt(blocks, time);
            return {
                time_ns: time,
                label: time === peak.time ? 'peak' : time === shape.durationNs ? 'end' : '',
                footprint: pages.pages * PAGE,
                live: total(blocks.filter((block) => isLiveAt(block, time))),
                pages: pages.pages,
                full_pages: pages.full,
                partial_pages: pages.pages - pages.full,
                free_bytes: pages.free,
            };
        }),
        replay: replayOf(peak.bytes, top, shape.durationNs),
    };
}

export function programHead(): object {
    return {
        command: 'program --with "a long <command>" line',
        process: 4711,
        started_ms: Date.UTC(2026, 2, 1, 12, 0, 0),
        tarn: '0.9.0',
        stacks: 'full',
        sample_bytes: 0,
        blocks: 'addresses',
        file: 'program.trace',
        is_cut: false,
        lost: 0,
    };
}

const POOLS = [
    {
        name: 'requests',
        kind: 'limited',
        parent: -1,
        allocations: 900,
        frees: 880,
        peak_live: 90000,
        live_end: 700,
        resets: 0,
        closed: false,
    },
    {
        name: 'request',
        kind: 'arena',
        parent: 0,
        allocations: 5200,
        frees: 0,
        peak_live: 44000,
        live_end: 0,
        resets: 31,
        closed: true,
    },
    {
        name: 'messages',
        kind: 'pool',
        parent: -1,
        allocations: 12000,
        frees: 12000,
        peak_live: 6400,
        live_end: 0,
        resets: 0,
        closed: true,
    },
];

export function replayOf(peak: number, top: number, durationNs: number): object {
    const names = [
        'best-fit',
        'first-fit',
        'segregated-fit',
        'buddy',
        'tarn',
        'system',
        'libjemalloc.so.2',
    ];
    // The last but one does not tell its footprint, as libraries do not; the last one crashed.
    const isTold = (i: number): boolean => i < 5;
    const curve = (scale: number, i: number): object => {
        const steps = Array.from({ length: 200 }, (_, i) => i / 199);
        return {
            event: steps.map((step) => Math.round(step * 12000)),
            time_ns: steps.map((step) => Math.round(step * durationNs)),
            live: steps.map((step) => Math.round(peak * step)),
            footprint: steps.map((step) =>
                isTold(i) ? Math.round(top * scale * Math.min(1, 2 * step)) : null,
            ),
            resident: steps.map((step) => Math.round(top * scale * Math.min(1, 2 * step) * 0.9)),
        };
    };
    const runs = names.map((name, i) => ({
        name,
        kind: i < 4 ? 'region' : i === 6 ? 'library' : 'malloc',
        about: `what ${name} does`,
        order: i < 4 ? 'one thread' : 'exact',
        status: i === 6 ? 'crashed' : 'ok',
        error: i === 6 ? 'it ended by signal 11' : null,
        events_per_second: 24e6 / (i + 1),
        ns: {
            mean: 40 + 12 * i,
            p50: 30 + 9 * i,
            p99: 180 + 40 * i,
            p99_9: 900 + 100 * i,
            max: 40000,
        },
        peak_footprint: !isTold(i) ? null : Math.round(top * (1 + i * 0.11)),
        peak_resident: i < 4 || i === 6 ? null : Math.round(top * (1 + i * 0.08)),
        end_footprint: Math.round(top * 0.6),
        end_resident: null,
        fragmentation: {
            external_peak: 0.04 * i,
            internal_peak: 0.02 * i,
            external_end: 0.3,
            internal_end: 0.05,
        },
        failures: i === 3 ? 2 : 0,
        rank: i === 6 ? null : i + 1,
        curve: i === 6 ? null : curve(1 + i * 0.11, i),
    }));
    return {
        format: 'tarn-replay',
        version: 1,
        trace: 'program.trace',
        command: 'program',
        events: 12000,
        allocations: 6000,
        threads: 4,
        theory: {
            peak_live: peak,
            static_plan: {
                height: Math.round(peak * 1.02),
                lower_bound: peak,
                buffers: 6000,
                is_optimal: false,
                method: 'greedy by size',
            },
            robson: {
                bytes: peak * 9,
                largest: 60000,
                text: 'no order of these requests needs more with first fit',
            },
        },
        runs,
        movable: {
            peak_footprint: Math.round(peak * 1.05),
            end_footprint: Math.round(peak * 0.4),
            end_without: Math.round(top * 0.8),
            without: top,
            bytes_moved: 4_000_000,
            blocks_moved: 1200,
            passes: 14,
            longest_us: 420,
            saved: top - Math.round(peak * 1.05),
        },
    };
}
