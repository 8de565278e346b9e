// SPDX-License-Identifier: MIT

import type { MapCells, Recording } from './recording';

/**
 * The rows of each column that belong to the footprint: [low, high). What is unused there is free
 * space.
 */
export interface Extent {
    low: Uint16Array;
    high: Uint16Array;
}

/**
 * A simulated heap is one range from row 0 up to its footprint. Of recorded addresses only those
 * are known to be held that lie between blocks.
 */
export function extentOf(recording: Recording, map: MapCells): Extent {
    const low = new Uint16Array(map.columns);
    const high = new Uint16Array(map.columns);
    const isOneRange = map.layout.includes('simulated');
    for (let x = 0; x < map.columns; x++) {
        const [first, last] = usedRows(map, x);
        low[x] = isOneRange ? 0 : first;
        high[x] = isOneRange ? Math.max(last, footprintRows(recording, map, x)) : last;
    }
    return { low, high };
}

function usedRows(map: MapCells, x: number): [number, number] {
    const begin = x * map.rows;
    let first = 0;
    let last = map.rows;
    while (first < map.rows && map.used[begin + first] === 0) {
        first++;
    }
    while (last > first && map.used[begin + last - 1] === 0) {
        last--;
    }
    return first === map.rows ? [0, 0] : [first, last];
}

function footprintRows(recording: Recording, map: MapCells, x: number): number {
    const { footprint, count, widthNs } = recording.curve;
    if (footprint === null) {
        return 0;
    }
    const first = Math.min(Math.floor((x * map.nsPerColumn) / widthNs), count - 1);
    const last = Math.min(
        Math.max(Math.ceil(((x + 1) * map.nsPerColumn) / widthNs), first + 1),
        count,
    );
    let most = 0;
    for (let i = first; i < last; i++) {
        most = Math.max(most, footprint[i]);
    }
    return Math.min(Math.ceil(most / map.bytesPerRow), map.rows);
}
