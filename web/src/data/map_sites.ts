// SPDX-License-Identifier: MIT

import type { MapCells, Recording } from './recording';

/**
 * The call sites and threads that fill most of a heap map, so that each can have a colour of its
 * own.
 */

export interface Ranked {
    /** Frames or threads, the largest first. */
    keys: number[];
    /** The place in `keys`, or `keys.length` for all others. */
    rankOf: (key: number) => number;
}

export function rankSites(recording: Recording, map: MapCells, most: number): Ranked {
    const weights = new Float64Array(recording.frames.count);
    const { frame } = recording.nodes;
    for (let i = 0; i < map.used.length; i++) {
        weights[frame[map.node[i]]] += map.used[i];
    }
    return ranked(weights, most);
}

export function rankThreads(map: MapCells, most: number): Ranked {
    const weights = new Float64Array(256);
    for (let i = 0; i < map.used.length; i++) {
        weights[map.thread[i]] += map.used[i];
    }
    // 255 stands for all threads that have no index of their own.
    weights[255] = 0;
    return ranked(weights, most);
}

function ranked(weights: Float64Array, most: number): Ranked {
    const keys = Array.from(weights.keys())
        .filter((key) => weights[key] > 0)
        .sort((a, b) => weights[b] - weights[a])
        .slice(0, most);
    const ranks = new Uint8Array(weights.length).fill(keys.length);
    keys.forEach((key, rank) => {
        ranks[key] = rank;
    });
    return { keys, rankOf: (key) => ranks[key] ?? keys.length };
}
