// SPDX-License-Identifier: MIT

import { type Section, writeContainer } from './container_writer';
import { LIFETIME_BOUNDS, SIZE_BOUNDS, programHead, replayOf } from './fixture';
import { Random } from './random';

/**
 * As large a report as `tarn report` writes: what the page has to open within seconds. Its figures
 * are noise.
 */

const BINS = 512;
const CELLS_PER_BIN = 4000;
const STEPS = 16384;
const NODES = 20000;
const FRAMES = 6000;
const COLUMNS = 2048;
const ROWS = 1024;
const RECTS = 100000;
const THREADS = 40;
const DURATION = 600e9;
const ROW_BYTES = 65536;

export function bigContainer(seed: number): Uint8Array<ArrayBuffer> {
    const random = new Random(seed);
    const sections = {
        ...texts(),
        ...nodes(random),
        ...cells(random),
        ...curve(random),
        ...classes('size', SIZE_BOUNDS.length, random),
        ...classes('lifetime', LIFETIME_BOUNDS.length, random),
        ...map(random),
        ...rects(random),
        ...pins(random),
        ...threads(random),
    };
    return writeContainer(head(), sections);
}

function u32(count: number, value: (i: number) => number): Uint32Array {
    const values = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
        values[i] = value(i);
    }
    return values;
}

function f64(count: number, value: (i: number) => number): Float64Array {
    const values = new Float64Array(count);
    for (let i = 0; i < count; i++) {
        values[i] = value(i);
    }
    return values;
}

function texts(): Record<string, Section> {
    const names = [''];
    for (let i = 0; i < FRAMES; i++) {
        names.push(`namespace_${i % 40}::component_${i % 700}<template_argument>::function_${i}`);
    }
    for (let i = 0; i < 300; i++) {
        names.push(`/build/program/source/folder_${i % 20}/file_${i}.cc`);
    }
    const encoded = names.map((name) => new TextEncoder().encode(name));
    let total = 0;
    const ends = Uint32Array.from(encoded, (bytes) => (total += bytes.length));
    const bytes = new Uint8Array(total);
    encoded.forEach((text, i) => bytes.set(text, ends[i] - text.length));
    return {
        'text.bytes': bytes,
        'text.ends': ends,
        'frame.function': u32(FRAMES, (i) => 1 + i),
        'frame.file': u32(FRAMES, (i) => 1 + FRAMES + (i % 300)),
        'frame.line': u32(FRAMES, (i) => 1 + (i % 997)),
        'frame.module': u32(FRAMES, (i) => 1 + FRAMES + (i % 12)),
    };
}

function nodes(random: Random): Record<string, Section> {
    return {
        'node.parent': u32(NODES, (i) =>
            i < 10 ? 0 : Math.max(0, i - 1 - random.below(Math.min(i, 900))),
        ),
        'node.frame': u32(NODES, () => random.below(FRAMES)),
        'node.peak_bytes': f64(NODES, () => random.logarithmic(1, 1e6)),
        'node.peak_blocks': f64(NODES, () => random.logarithmic(1, 1e3)),
    };
}

function cells(random: Random): Record<string, Section> {
    const count = BINS * CELLS_PER_BIN;
    return {
        'cell.ends': u32(BINS, (i) => (i + 1) * CELLS_PER_BIN),
        'cell.node': u32(count, () => random.below(NODES)),
        'cell.allocs': u32(count, () => 1 + random.below(90)),
        'cell.bytes': f64(count, () => 4096 + random.below(4096)),
        'cell.frees': u32(count, () => random.below(90)),
        'cell.freed': f64(count, () => random.below(8000)),
        'cell.temporary': u32(count, () => random.below(9)),
    };
}

function curve(random: Random): Record<string, Section> {
    const live = f64(STEPS, (i) => 3e7 + 2e7 * Math.sin(i / 900) + 1e6 * random.next() + i * 400);
    return {
        'curve.live': live,
        'curve.live_min': f64(STEPS, (i) => live[i] * 0.95),
        'curve.live_max': f64(STEPS, (i) => live[i] * 1.04),
        'curve.blocks': f64(STEPS, (i) => Math.round(live[i] / 90)),
        'curve.allocs': u32(STEPS, () => 3000 + random.below(3000)),
        'curve.frees': u32(STEPS, () => 3000 + random.below(3000)),
        'curve.footprint': f64(STEPS, (i) => Math.min(5.2e7 + i * 700, ROWS * ROW_BYTES)),
    };
}

function classes(name: string, count: number, random: Random): Record<string, Section> {
    return {
        [`${name}.counts`]: f64(BINS * count, () => random.below(10000)),
        [`${name}.bytes`]: f64(BINS * count, () => random.below(1e6)),
    };
}

function map(random: Random): Record<string, Section> {
    const count = COLUMNS * ROWS;
    const sections = {
        'map.used': new Uint8Array(count),
        'map.size': new Uint8Array(count),
        'map.thread': new Uint8Array(count),
        'map.node': new Uint32Array(count),
        'map.born': new Uint16Array(count),
    };
    // Runs of cells of one block, so that it looks like a heap and not like snow.
    for (let y = 0; y < ROWS; y++) {
        for (let x = 0; x < COLUMNS; ) {
            const length = Math.min(1 + random.logarithmic(1, 400), COLUMNS - x);
            const used = random.next() < y / (2 * ROWS) ? 0 : 60 + random.below(196);
            const [size, thread, node] = [
                4 + random.below(14),
                random.below(THREADS),
                random.below(NODES),
            ];
            for (let i = 0; i < length; i++) {
                const cell = (x + i) * ROWS + y;
                sections['map.used'][cell] = used;
                sections['map.size'][cell] = size;
                sections['map.thread'][cell] = thread;
                sections['map.node'][cell] = node;
                sections['map.born'][cell] = x;
            }
            x += length;
        }
    }
    return sections;
}

function rects(random: Random): Record<string, Section> {
    const begin = f64(RECTS, () => random.next() * DURATION * 0.95);
    return {
        'rect.begin_ns': begin,
        'rect.end_ns': f64(RECTS, (i) =>
            Math.min(begin[i] + random.logarithmic(1e6, DURATION), DURATION),
        ),
        'rect.leaked': new Uint8Array(RECTS),
        'rect.address': f64(RECTS, () => random.below(ROWS * ROW_BYTES)),
        'rect.size': f64(RECTS, () => random.logarithmic(16, 500000)),
        'rect.node': u32(RECTS, () => random.below(NODES)),
        'rect.thread': Uint8Array.from({ length: RECTS }, () => random.below(THREADS)),
    };
}

function pins(random: Random): Record<string, Section> {
    return {
        'pin.ends': u32(2, (i) => (i + 1) * NODES),
        'pin.node': u32(2 * NODES, (i) => i % NODES),
        'pin.bytes': f64(2 * NODES, () => random.logarithmic(1, 1e5)),
        'pin.pages': f64(2 * NODES, () => random.logarithmic(1, 100)),
    };
}

function threads(random: Random): Record<string, Section> {
    return {
        'thread.ends': u32(BINS, (i) => (i + 1) * THREADS),
        'thread.index': u32(BINS * THREADS, (i) => i % THREADS),
        'thread.allocs': u32(BINS * THREADS, () => random.below(10000)),
        'thread.bytes': f64(BINS * THREADS, () => random.below(1e6)),
    };
}

function head(): object {
    const snapshot = {
        footprint: 6e7,
        live: 5e7,
        pages: 15000,
        full_pages: 9000,
        partial_pages: 6000,
        free_bytes: 1e7,
    };
    return {
        format: 'tarn-report',
        version: 1,
        program: programHead(),
        summary: {
            events: 1e8,
            allocations: 5e7,
            frees: 5e7,
            reallocs: 1000,
            failed: 0,
            bytes_allocated: 1e10,
            peak_live: 5.7e7,
            peak_time_ns: DURATION * 0.6,
            peak_blocks: 6e5,
            live_end: 4e7,
            blocks_end: 4e5,
            duration_ns: DURATION,
            threads: THREADS,
            temporary: 1e7,
            temporary_bytes: 1e9,
            stacks: NODES,
            modules: 12,
            page_size: 4096,
        },
        threads: Array.from({ length: THREADS }, (_, i) => ({
            id: i,
            name: `worker-${i}`,
            allocations: 0,
            bytes: 0,
        })),
        pools: [],
        bins: { count: BINS, width_ns: DURATION / BINS },
        curve: { count: STEPS, width_ns: DURATION / STEPS },
        sizes: { bounds: SIZE_BOUNDS },
        lifetimes: { bounds_ns: LIFETIME_BOUNDS },
        map: {
            columns: COLUMNS,
            rows: ROWS,
            ns_per_column: DURATION / COLUMNS,
            bytes_per_row: ROW_BYTES,
            bottom: 0x7f1200000000,
            extents: [[0, 0x7f1200000000]],
            layout: 'recorded addresses',
            peak_footprint: ROWS * ROW_BYTES,
        },
        snapshots: [
            { time_ns: DURATION * 0.6, label: 'peak', ...snapshot },
            { time_ns: DURATION, label: 'end', ...snapshot },
        ],
        replay: replayOf(5.7e7, 6.7e7, DURATION),
    };
}
