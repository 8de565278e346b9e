// SPDX-License-Identifier: MIT

import type { Recording } from './recording';

/** What a flame graph draws. The field names are those that d3-flame-graph looks for. */
export interface FlameNode {
    name: string;
    value: number;
    children: FlameNode[];
    /** The frame; ROOT, or NARROW. */
    frame: number;
    /** An ancestor of the frame that is zoomed to: drawn over the whole width. */
    fade?: boolean;
}

export const ROOT = -1;
/** What stands for frames that are too narrow to be drawn, where they are many. */
export const NARROW = -2;

/**
 * Frames that are left out are drawn as one where together they are this many times as wide as the
 * least.
 */
const NARROW_FROM = 6;

/** A way down from the root, as frames. */
export type Path = readonly number[];

export interface FlameOptions {
    isInverted: boolean;
    /** The frame to draw over the whole width, with its ancestors. */
    focus: Path;
    /** Frames narrower than this share of the focus are left out. */
    least: number;
    /** The narrowest are left out until no more frames than these are below the focus. */
    most?: number;
}

/**
 * A node of the call tree and how far up its stack we are: the unit that both trees are built of.
 */
interface Item {
    node: number;
    value: number;
}

/**
 * Builds the tree of the values of the nodes, or null when they come to nothing. Both ways are one
 * algorithm: group the stacks by their next frame and go into each group that is wide enough to be
 * seen, so that what cannot be seen costs nothing.
 */
export function flameTree(
    recording: Recording,
    values: Float64Array,
    options: FlameOptions,
): FlameNode | null {
    const builder = options.isInverted
        ? new Upward(recording, values)
        : new Downward(recording, values);
    const items = builder.roots();
    const total = valueOf(items);
    if (total <= 0) {
        return null;
    }
    const root: FlameNode = { name: 'all', value: total, children: [], frame: ROOT };
    const [focused, at] = descend(recording, builder, root, items, options.focus);
    const least = focused.value * options.least;
    grow(recording, builder, focused, at, least);
    const most = options.most ?? Infinity;
    const widths = valuesBelow(focused);
    if (widths.length > most) {
        focused.children = [];
        widths.sort((a, b) => b - a);
        grow(recording, builder, focused, at, Math.max(widths[most], least));
    }
    return root;
}

function valuesBelow(flame: FlameNode): number[] {
    const values: number[] = [];
    const pending = [...flame.children];
    for (;;) {
        const next = pending.pop();
        if (next === undefined) {
            return values;
        }
        values.push(next.value);
        pending.push(...next.children);
    }
}

/** Follows the focus as far as it exists, and marks what it passes. */
function descend(
    recording: Recording,
    builder: Builder,
    root: FlameNode,
    items: Item[],
    focus: Path,
): [FlameNode, Item[]] {
    let flame = root;
    for (const frame of focus) {
        const group = groups(recording, items).get(frame);
        if (group === undefined || valueOf(group) <= 0) {
            break;
        }
        flame.fade = true;
        const child = flameNode(recording, frame, valueOf(group));
        flame.children.push(child);
        flame = child;
        items = builder.next(group);
    }
    return [flame, items];
}

function grow(
    recording: Recording,
    builder: Builder,
    flame: FlameNode,
    items: Item[],
    least: number,
): void {
    const pending: [FlameNode, Item[]][] = [[flame, items]];
    for (;;) {
        const next = pending.pop();
        if (next === undefined) {
            return;
        }
        const [parent, own] = next;
        let [narrow, left] = [0, 0];
        for (const [frame, group] of groups(recording, own)) {
            const value = valueOf(group);
            if (value <= 0 || value < least) {
                narrow++;
                left += value;
                continue;
            }
            const child = flameNode(recording, frame, value);
            parent.children.push(child);
            pending.push([child, builder.next(group)]);
        }
        parent.children.sort((a, b) => b.value - a.value);
        if (left >= NARROW_FROM * least && left > 0) {
            parent.children.push({
                name: `${narrow} narrow ones`,
                value: left,
                children: [],
                frame: NARROW,
            });
        }
    }
}

function flameNode(recording: Recording, frame: number, value: number): FlameNode {
    return { name: recording.functionOf(frame), value, children: [], frame };
}

function valueOf(items: Item[]): number {
    let total = 0;
    for (const item of items) {
        total += item.value;
    }
    return total;
}

function groups(recording: Recording, items: Item[]): Map<number, Item[]> {
    const byFrame = new Map<number, Item[]>();
    for (const item of items) {
        const frame = recording.nodes.frame[item.node];
        const group = byFrame.get(frame);
        if (group === undefined) {
            byFrame.set(frame, [item]);
        } else {
            group.push(item);
        }
    }
    return byFrame;
}

interface Builder {
    /** The items at the top of the tree. */
    roots(): Item[];
    /** The items one frame further. */
    next(items: Item[]): Item[];
}

/** Callers above, what they call below: an item is a node with all that is under it. */
class Downward implements Builder {
    private readonly sums: Float64Array;
    private readonly firstChild: Int32Array;
    private readonly nextSibling: Int32Array;
    private readonly self: number;

    constructor(recording: Recording, values: Float64Array) {
        const { parent, count } = recording.nodes;
        this.sums = inclusive(parent, values);
        this.self = values[0];
        this.firstChild = new Int32Array(count).fill(-1);
        this.nextSibling = new Int32Array(count).fill(-1);
        for (let i = count - 1; i > 0; i--) {
            this.nextSibling[i] = this.firstChild[parent[i]];
            this.firstChild[parent[i]] = i;
        }
    }

    roots(): Item[] {
        const items = this.childrenOf(0);
        if (this.self > 0) {
            // Events without a stack hang on the root itself.
            items.push({ node: 0, value: this.self });
        }
        return items;
    }

    next(items: Item[]): Item[] {
        return items.flatMap((item) => (item.node === 0 ? [] : this.childrenOf(item.node)));
    }

    private childrenOf(node: number): Item[] {
        const items: Item[] = [];
        for (let child = this.firstChild[node]; child >= 0; child = this.nextSibling[child]) {
            if (this.sums[child] > 0) {
                items.push({ node: child, value: this.sums[child] });
            }
        }
        return items;
    }
}

/** Who allocates above, its callers below: an item is one stack, seen at one of its frames. */
class Upward implements Builder {
    private readonly recording: Recording;
    private readonly values: Float64Array;

    constructor(recording: Recording, values: Float64Array) {
        this.recording = recording;
        this.values = values;
    }

    roots(): Item[] {
        const items: Item[] = [];
        for (let node = 0; node < this.values.length; node++) {
            if (this.values[node] > 0) {
                items.push({ node, value: this.values[node] });
            }
        }
        return items;
    }

    next(items: Item[]): Item[] {
        const { parent } = this.recording.nodes;
        const next: Item[] = [];
        for (const item of items) {
            const node = item.node === 0 ? 0 : parent[item.node];
            if (node !== 0) {
                next.push({ node, value: item.value });
            }
        }
        return next;
    }
}

/** The sum over each node and all below it. */
export function inclusive(parent: Uint32Array, values: Float64Array): Float64Array {
    const sums = values.slice();
    for (let i = sums.length - 1; i > 0; i--) {
        sums[parent[i]] += sums[i];
    }
    return sums;
}

/** The frames from the one that allocated up to the outermost caller; none for the root. */
export function stackOf(recording: Recording, node: number): number[] {
    const { parent, frame } = recording.nodes;
    const frames: number[] = [];
    for (let at = node; at !== 0; at = parent[at]) {
        frames.push(frame[at]);
    }
    return frames;
}
