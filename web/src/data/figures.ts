// SPDX-License-Identifier: MIT

import type { Recording } from './recording';
import type { Range } from './selection';

/** What each stack did in a range of time: one number for each node, of that node alone. */
export interface NodeFigures {
    allocs: Float64Array;
    bytes: Float64Array;
    temporary: Float64Array;
    /** Live at the end of the range. */
    live: Float64Array;
    liveBlocks: Float64Array;
    /** Live at the range's peak: see PeakOfRange. */
    peak: Float64Array;
    peakBlocks: Float64Array;
}

export interface PeakOfRange {
    /**
     * Whether `peak` is exact; otherwise it is what was live at the end of the bin in which most
     * was.
     */
    isExact: boolean;
    timeNs: number;
}

/** Of all blocks, with a stack or without. */
export interface Totals {
    allocs: number;
    bytes: number;
    frees: number;
    freed: number;
    temporary: number;
    live: number;
    liveBlocks: number;
    peakLive: number;
    peakTimeNs: number;
    peakFootprint: number | null;
}

export interface Figures {
    range: Range;
    nodes: NodeFigures;
    peak: PeakOfRange;
    totals: Totals;
}

export function figuresOf(recording: Recording, range: Range): Figures {
    const { cells, nodes: tree } = recording;
    const count = tree.count;
    const nodes: NodeFigures = {
        allocs: new Float64Array(count),
        bytes: new Float64Array(count),
        temporary: new Float64Array(count),
        live: new Float64Array(count),
        liveBlocks: new Float64Array(count),
        peak: tree.peakBytes,
        peakBlocks: tree.peakBlocks,
    };
    const first = range.begin === 0 ? 0 : cells.ends[range.begin - 1];
    const last = cells.ends[range.end - 1];
    const peak = peakOf(recording, range);
    const peakCell = peak.isExact ? -1 : cells.ends[peak.bin];

    const { live, liveBlocks } = nodes;
    for (let i = 0; i < last; i++) {
        if (i === peakCell) {
            nodes.peak = live.slice();
            nodes.peakBlocks = liveBlocks.slice();
        }
        const node = cells.node[i];
        live[node] += cells.bytes[i] - cells.freed[i];
        liveBlocks[node] += cells.allocs[i] - cells.frees[i];
    }
    if (peakCell >= last) {
        nodes.peak = live;
        nodes.peakBlocks = liveBlocks;
    }
    for (let i = first; i < last; i++) {
        const node = cells.node[i];
        nodes.allocs[node] += cells.allocs[i];
        nodes.bytes[node] += cells.bytes[i];
        nodes.temporary[node] += cells.temporary[i];
    }
    return { range, nodes, peak, totals: totalsOf(recording, range, nodes, peak) };
}

/** The cells have only estimates where stacks were sampled; the curve, sizes and bins have all. */
function totalsOf(recording: Recording, range: Range, nodes: NodeFigures, peak: Peak): Totals {
    const { curve, sizes, temporary } = recording;
    const [first, last] = stepsOf(recording, range);
    const bytes =
        sizes === null ? sum(nodes.bytes) : sum(classSums(sizes.bytes, sizes.bounds.length, range));
    const live = curve.live[last - 1];
    return {
        allocs: sum(curve.allocs.subarray(first, last)),
        bytes,
        frees: sum(curve.frees.subarray(first, last)),
        freed: bytes - (live - (first === 0 ? 0 : curve.live[first - 1])),
        temporary: sum(
            temporary === null ? nodes.temporary : temporary.subarray(range.begin, range.end),
        ),
        live,
        liveBlocks: curve.blocks[last - 1],
        peakLive: peak.live,
        peakTimeNs: peak.timeNs,
        peakFootprint: peakFootprintOf(recording, range),
    };
}

function sum(values: Float64Array | Uint32Array): number {
    let total = 0;
    for (let i = 0; i < values.length; i++) {
        total += values[i];
    }
    return total;
}

/** The steps of the curve that a range covers: [first, last). */
export function stepsOf(recording: Recording, range: Range): [number, number] {
    const perBin = recording.curve.count / recording.binCount;
    return [range.begin * perBin, range.end * perBin];
}

interface Peak extends PeakOfRange {
    live: number;
    bin: number;
}

function peakOf(recording: Recording, range: Range): Peak {
    const { curve, head, binNs } = recording;
    const [first, last] = stepsOf(recording, range);
    const peakBin = Math.min(Math.floor(head.summary.peak_time_ns / binNs), recording.binCount - 1);
    if (peakBin >= range.begin && peakBin < range.end) {
        return {
            isExact: true,
            timeNs: head.summary.peak_time_ns,
            live: head.summary.peak_live,
            bin: peakBin,
        };
    }
    let step = first;
    for (let i = first + 1; i < last; i++) {
        if (curve.liveMax[i] > curve.liveMax[step]) {
            step = i;
        }
    }
    const perBin = curve.count / recording.binCount;
    let bin = range.begin;
    for (let b = range.begin + 1; b < range.end; b++) {
        if (curve.live[(b + 1) * perBin - 1] > curve.live[(bin + 1) * perBin - 1]) {
            bin = b;
        }
    }
    return { isExact: false, timeNs: (step + 0.5) * curve.widthNs, live: curve.liveMax[step], bin };
}

function peakFootprintOf(recording: Recording, range: Range): number | null {
    const { footprint } = recording.curve;
    if (footprint === null) {
        return null;
    }
    const [first, last] = stepsOf(recording, range);
    let peak = 0;
    for (let i = first; i < last; i++) {
        peak = Math.max(peak, footprint[i]);
    }
    return peak;
}

/** The sums of each class over the bins of a range. */
export function classSums(values: Float64Array, classes: number, range: Range): Float64Array {
    const sums = new Float64Array(classes);
    for (let b = range.begin; b < range.end; b++) {
        for (let c = 0; c < classes; c++) {
            sums[c] += values[b * classes + c];
        }
    }
    return sums;
}

export interface ThreadFigures {
    index: number;
    allocs: number;
    bytes: number;
}

export function threadFigures(recording: Recording, range: Range): ThreadFigures[] {
    const { threads } = recording;
    if (threads === null) {
        return [];
    }
    const byIndex = new Map<number, ThreadFigures>();
    const first = range.begin === 0 ? 0 : threads.ends[range.begin - 1];
    for (let i = first; i < threads.ends[range.end - 1]; i++) {
        const index = threads.index[i];
        let figures = byIndex.get(index);
        if (figures === undefined) {
            figures = { index, allocs: 0, bytes: 0 };
            byIndex.set(index, figures);
        }
        figures.allocs += threads.allocs[i];
        figures.bytes += threads.bytes[i];
    }
    return [...byIndex.values()];
}

/** The snapshot nearest to the end of the range; -1 when there is none. */
export function snapshotFor(recording: Recording, range: Range): number {
    const end = range.end * recording.binNs;
    let best = -1;
    let distance = Infinity;
    recording.head.snapshots.forEach((snapshot, index) => {
        // Of two as near, the later: at the end of the recording the end, not the peak, is meant.
        if (Math.abs(snapshot.time_ns - end) <= distance) {
            distance = Math.abs(snapshot.time_ns - end);
            best = index;
        }
    });
    return best;
}
