// SPDX-License-Identifier: MIT

import type { Container } from './container';
import { damaged } from './fault';
import type { Head, Replay } from './head';
import { faultOfReplay } from './replay';

/** A report's data under names, checked so far that no index in it leads out of an array. */

export interface Frames {
    count: number;
    function: Uint32Array;
    file: Uint32Array;
    line: Uint32Array;
    module: Uint32Array;
}

/** The call tree: node 0 is the root, and a parent comes before its children. */
export interface Nodes {
    count: number;
    parent: Uint32Array;
    frame: Uint32Array;
    peakBytes: Float64Array;
    peakBlocks: Float64Array;
}

/** What each stack did in each bin; the cells of bin b end at ends[b]. */
export interface Cells {
    ends: Uint32Array;
    node: Uint32Array;
    allocs: Uint32Array;
    bytes: Float64Array;
    frees: Uint32Array;
    freed: Float64Array;
    temporary: Uint32Array;
}

export interface Curve {
    count: number;
    widthNs: number;
    liveMin: Float64Array;
    liveMax: Float64Array;
    live: Float64Array;
    blocks: Float64Array;
    allocs: Uint32Array;
    frees: Uint32Array;
    footprint: Float64Array | null;
}

/** Classes of size or of lifetime; bin b has its counts at [b * classes, (b + 1) * classes). */
export interface Classes {
    bounds: (number | null)[];
    counts: Float64Array;
    bytes: Float64Array;
}

export interface MapCells {
    columns: number;
    rows: number;
    nsPerColumn: number;
    bytesPerRow: number;
    /** Distances from row 0, rising, and the addresses there; empty: addresses are not known. */
    extents: [number, number][];
    layout: string;
    /** Blocks that have no place in the map. */
    unplaced: number;
    used: Uint8Array;
    size: Uint8Array;
    thread: Uint8Array;
    node: Uint32Array;
    born: Uint16Array;
}

export interface Rects {
    count: number;
    begin: Float64Array;
    end: Float64Array;
    leaked: Uint8Array;
    address: Float64Array;
    size: Float64Array;
    node: Uint32Array;
    thread: Uint8Array;
}

export interface Pins {
    ends: Uint32Array;
    node: Uint32Array;
    bytes: Float64Array;
    pages: Float64Array;
}

export interface ThreadCells {
    ends: Uint32Array;
    index: Uint32Array;
    allocs: Uint32Array;
    bytes: Float64Array;
}

export class Recording {
    readonly head: Head;
    readonly frames: Frames;
    readonly nodes: Nodes;
    readonly cells: Cells;
    readonly curve: Curve;
    readonly sizes: Classes | null;
    readonly lifetimes: Classes | null;
    readonly map: MapCells | null;
    readonly rects: Rects | null;
    readonly pins: Pins | null;
    readonly threads: ThreadCells | null;
    /** Temporary blocks by bin, of all blocks; null: not told. */
    readonly temporary: Float64Array | null;
    readonly replay: Replay | null;
    /** What is wrong with the replay, if it is left out for that. */
    readonly replayFault: string;
    private readonly textBytes: Uint8Array;
    private readonly textEnds: Uint32Array;
    private readonly texts: (string | undefined)[];
    private readonly sharedNames: Set<string>;
    private readonly decoder = new TextDecoder();

    constructor(container: Container) {
        this.head = container.head;
        verifyHead(this.head);
        this.sharedNames = repeated(this.head.threads.map((thread) => thread.name));
        this.replayFault = this.head.replay === null ? '' : faultOfReplay(this.head.replay);
        this.replay = this.replayFault === '' ? this.head.replay : null;
        this.textBytes = container.section('text.bytes', 'u8');
        this.textEnds = container.section('text.ends', 'u32');
        verifyEnds('text.ends', this.textEnds, this.textBytes.length);
        this.texts = new Array<string | undefined>(this.textEnds.length);
        this.frames = readFrames(container, this.textEnds.length);
        this.nodes = readNodes(container, this.frames.count);
        this.cells = readCells(container, this.nodes.count);
        this.curve = readCurve(container);
        this.sizes = readClasses(container, 'size', this.head.sizes?.bounds);
        this.lifetimes = readClasses(container, 'lifetime', this.head.lifetimes?.bounds_ns);
        this.map = readMap(container, this.nodes.count);
        this.rects = readRects(container, this.nodes.count);
        this.pins = readPins(container, this.nodes.count);
        this.threads = readThreads(container);
        this.temporary = container.has('bin.temporary')
            ? container.section('bin.temporary', 'f64', this.binCount)
            : null;
    }

    /** Whether only some stacks were recorded, so that figures by call site are estimates. */
    get isSampled(): boolean {
        return String(this.head.program.stacks).startsWith('sampled');
    }

    get binCount(): number {
        return this.head.bins.count;
    }

    get binNs(): number {
        return this.head.bins.width_ns;
    }

    text(index: number): string {
        let text = this.texts[index];
        if (text === undefined) {
            const begin = index === 0 ? 0 : this.textEnds[index - 1];
            text = this.decoder.decode(this.textBytes.subarray(begin, this.textEnds[index]));
            this.texts[index] = text;
        }
        return text;
    }

    functionOf(frame: number): string {
        return this.text(this.frames.function[frame]) || '(unknown)';
    }

    moduleOf(frame: number): string {
        return this.text(this.frames.module[frame]);
    }

    /**
     * "file.c:12", with the last part of the path alone unless `isFull`; "" where it is not known.
     */
    placeOf(frame: number, isFull = false): string {
        const file = this.text(this.frames.file[frame]);
        if (file === '') {
            return '';
        }
        const line = this.frames.line[frame];
        const name = isFull ? file : file.slice(file.lastIndexOf('/') + 1);
        return line > 0 ? `${name}:${line}` : name;
    }

    /** The place, or the module's name where no place is known. */
    whereOf(frame: number): string {
        const module = this.moduleOf(frame);
        return this.placeOf(frame) || module.slice(module.lastIndexOf('/') + 1);
    }

    /** The thread's name, with its number where others have the same one. */
    threadName(index: number): string {
        const thread = this.head.threads[index];
        if (thread === undefined) {
            return 'other threads';
        }
        if (thread.name === '') {
            return `thread ${thread.id}`;
        }
        return this.sharedNames.has(thread.name) ? `${thread.name} (${thread.id})` : thread.name;
    }
}

function verifyHead(head: Head): void {
    const { bins, curve } = head;
    if (!isCount(bins?.count, 1, 65536) || !(bins.width_ns > 0)) {
        throw damaged('its bins make no sense');
    }
    if (
        !isCount(curve?.count, 1, 1 << 24) ||
        !(curve.width_ns > 0) ||
        curve.count % bins.count !== 0
    ) {
        throw damaged('its curve makes no sense');
    }
    for (const name of ['program', 'summary'] as const) {
        if (typeof head[name] !== 'object' || head[name] === null) {
            throw damaged(`its head has no ${name}`);
        }
    }
    for (const name of ['threads', 'pools', 'snapshots'] as const) {
        if (!Array.isArray((head[name] ??= []))) {
            throw damaged(`its head's ${name} are no list`);
        }
    }
    head.map ??= null;
    head.replay ??= null;
}

/** The names that more than one has. */
function repeated(names: string[]): Set<string> {
    const seen = new Set<string>();
    const again = new Set<string>();
    for (const name of names) {
        (seen.has(name) ? again : seen).add(name);
    }
    return again;
}

function isCount(value: number | undefined, least: number, most: number): boolean {
    return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}

function verifyEnds(name: string, ends: Uint32Array, total: number): void {
    let last = 0;
    for (let i = 0; i < ends.length; i++) {
        if (ends[i] < last) {
            throw damaged(`the section ${name} runs backwards`);
        }
        last = ends[i];
    }
    if (last !== total) {
        throw damaged(`the section ${name} does not end where its elements end`);
    }
}

function verifyIndices(name: string, indices: Uint32Array, count: number): void {
    for (let i = 0; i < indices.length; i++) {
        if (indices[i] >= count) {
            throw damaged(`element ${i} of the section ${name} leads nowhere`);
        }
    }
}

function readFrames(container: Container, texts: number): Frames {
    const names = container.section('frame.function', 'u32');
    const count = names.length;
    const frames = {
        count,
        function: names,
        file: container.section('frame.file', 'u32', count),
        line: container.section('frame.line', 'u32', count),
        module: container.section('frame.module', 'u32', count),
    };
    verifyIndices('frame.function', frames.function, texts);
    verifyIndices('frame.file', frames.file, texts);
    verifyIndices('frame.module', frames.module, texts);
    return frames;
}

function readNodes(container: Container, frames: number): Nodes {
    const parent = container.section('node.parent', 'u32');
    const count = parent.length;
    if (count === 0) {
        throw damaged('its call tree has no root');
    }
    for (let i = 0; i < count; i++) {
        if (parent[i] >= i && i > 0) {
            throw damaged(`node ${i} of its call tree comes before its parent`);
        }
    }
    const frame = container.section('node.frame', 'u32', count);
    verifyIndices('node.frame', frame, frames);
    return {
        count,
        parent,
        frame,
        peakBytes: container.section('node.peak_bytes', 'f64', count),
        peakBlocks: container.section('node.peak_blocks', 'f64', count),
    };
}

function readCells(container: Container, nodes: number): Cells {
    const node = container.section('cell.node', 'u32');
    const ends = container.section('cell.ends', 'u32', container.head.bins.count);
    verifyEnds('cell.ends', ends, node.length);
    verifyIndices('cell.node', node, nodes);
    return {
        ends,
        node,
        allocs: container.section('cell.allocs', 'u32', node.length),
        bytes: container.section('cell.bytes', 'f64', node.length),
        frees: container.section('cell.frees', 'u32', node.length),
        freed: container.section('cell.freed', 'f64', node.length),
        temporary: container.section('cell.temporary', 'u32', node.length),
    };
}

function readCurve(container: Container): Curve {
    const { count, width_ns } = container.head.curve;
    return {
        count,
        widthNs: width_ns,
        liveMin: container.section('curve.live_min', 'f64', count),
        liveMax: container.section('curve.live_max', 'f64', count),
        live: container.section('curve.live', 'f64', count),
        blocks: container.section('curve.blocks', 'f64', count),
        allocs: container.section('curve.allocs', 'u32', count),
        frees: container.section('curve.frees', 'u32', count),
        footprint: container.has('curve.footprint')
            ? container.section('curve.footprint', 'f64', count)
            : null,
    };
}

function readClasses(
    container: Container,
    name: string,
    bounds: (number | null)[] | undefined,
): Classes | null {
    if (!container.has(`${name}.counts`) || bounds === undefined || bounds.length === 0) {
        return null;
    }
    const count = bounds.length * container.head.bins.count;
    return {
        bounds,
        counts: container.section(`${name}.counts`, 'f64', count),
        bytes: container.section(`${name}.bytes`, 'f64', count),
    };
}

function readMap(container: Container, nodes: number): MapCells | null {
    const head = container.head.map;
    if (head === null || !container.has('map.used')) {
        return null;
    }
    const isSensible = isCount(head.columns, 1, 65535) && isCount(head.rows, 1, 65535);
    if (!isSensible || !(head.ns_per_column > 0) || !(head.bytes_per_row > 0)) {
        throw damaged('its heap map makes no sense');
    }
    const count = head.columns * head.rows;
    const node = container.section('map.node', 'u32', count);
    verifyIndices('map.node', node, nodes);
    return {
        columns: head.columns,
        rows: head.rows,
        nsPerColumn: head.ns_per_column,
        bytesPerRow: head.bytes_per_row,
        extents: Array.isArray(head.extents) ? head.extents : [],
        layout: String(head.layout ?? ''),
        unplaced: isCount(head.unplaced, 1, Number.MAX_SAFE_INTEGER)
            ? (head.unplaced as number)
            : 0,
        used: container.section('map.used', 'u8', count),
        size: container.section('map.size', 'u8', count),
        thread: container.section('map.thread', 'u8', count),
        node,
        born: container.section('map.born', 'u16', count),
    };
}

function readRects(container: Container, nodes: number): Rects | null {
    if (!container.has('rect.begin_ns')) {
        return null;
    }
    const begin = container.section('rect.begin_ns', 'f64');
    const count = begin.length;
    const node = container.section('rect.node', 'u32', count);
    verifyIndices('rect.node', node, nodes);
    return {
        count,
        begin,
        end: container.section('rect.end_ns', 'f64', count),
        leaked: container.section('rect.leaked', 'u8', count),
        address: container.section('rect.address', 'f64', count),
        size: container.section('rect.size', 'f64', count),
        node,
        thread: container.section('rect.thread', 'u8', count),
    };
}

function readPins(container: Container, nodes: number): Pins | null {
    const snapshots = container.head.snapshots.length;
    if (!container.has('pin.node') || snapshots === 0) {
        return null;
    }
    const node = container.section('pin.node', 'u32');
    const ends = container.section('pin.ends', 'u32', snapshots);
    verifyEnds('pin.ends', ends, node.length);
    verifyIndices('pin.node', node, nodes);
    return {
        ends,
        node,
        bytes: container.section('pin.bytes', 'f64', node.length),
        pages: container.section('pin.pages', 'f64', node.length),
    };
}

function readThreads(container: Container): ThreadCells | null {
    if (!container.has('thread.index')) {
        return null;
    }
    const index = container.section('thread.index', 'u32');
    const ends = container.section('thread.ends', 'u32', container.head.bins.count);
    verifyEnds('thread.ends', ends, index.length);
    return {
        ends,
        index,
        allocs: container.section('thread.allocs', 'u32', index.length),
        bytes: container.section('thread.bytes', 'f64', index.length),
    };
}
