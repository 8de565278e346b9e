// SPDX-License-Identifier: MIT

import type { MapCells, Rects } from './recording';

/** The exact block at a moment and an address (above the bottom of the map), or -1. */
export function rectAt(rects: Rects, timeNs: number, address: number): number {
    for (let i = 0; i < rects.count; i++) {
        const isThen = rects.begin[i] <= timeNs && timeNs < rects.end[i];
        if (isThen && rects.address[i] <= address && address < rects.address[i] + rects.size[i]) {
            return i;
        }
    }
    return -1;
}

/** The address at a distance from the bottom of the map, or null where it is not known. */
export function addressAt(map: MapCells, distance: number): number | null {
    let address: number | null = null;
    for (const [start, first] of map.extents) {
        if (start > distance) {
            break;
        }
        address = first + (distance - start);
    }
    return address;
}
