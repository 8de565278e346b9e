// SPDX-License-Identifier: MIT

import * as format from '../data/format';
import { type Extent, extentOf } from '../data/map_extent';
import { type Ranked, rankSites, rankThreads } from '../data/map_sites';
import type { MapCells, Recording } from '../data/recording';
import { DISTINCT_COUNT, OTHERS, type Rgb, distinct, ramp, rgbOf } from './palette';
import { colour } from './theme';

/** How the heap map is coloured: by one property of the blocks, with what the colours mean. */

export type MapColour = 'size' | 'age' | 'thread' | 'site';

export interface LegendEntry {
    colour: Rgb;
    text: string;
}

export class MapColours {
    readonly extent: Extent;
    private readonly recording: Recording;
    private readonly map: MapCells;
    private readonly sites: Ranked;
    private readonly threads: Ranked;
    private readonly leastSize: number;
    private readonly mostSize: number;

    constructor(recording: Recording, map: MapCells) {
        this.recording = recording;
        this.map = map;
        this.extent = extentOf(recording, map);
        this.sites = rankSites(recording, map, DISTINCT_COUNT);
        this.threads = rankThreads(map, DISTINCT_COUNT);
        [this.leastSize, this.mostSize] = sizeRange(map);
    }

    ofSize(log2: number): Rgb {
        return ramp((log2 - this.leastSize) / Math.max(this.mostSize - this.leastSize, 1));
    }

    /**
     * Old blocks are what holds pages, so that the scale tells short lives apart and ends at the
     * whole time.
     */
    ofAge(columns: number): Rgb {
        return ramp(Math.log1p(Math.max(columns, 0)) / Math.log1p(this.map.columns));
    }

    ofThread(index: number): Rgb {
        return this.ofRank(this.threads, index);
    }

    ofNode(node: number): Rgb {
        return this.ofRank(this.sites, this.recording.nodes.frame[node]);
    }

    /** Paints the whole map into an image with row 0 at the bottom. */
    paint(mode: MapColour): ImageData {
        const { columns, rows, used } = this.map;
        const image = new ImageData(columns, rows);
        const pixels = new Uint32Array(image.data.buffer);
        const { low, high } = this.extent;
        const free = rgbOf(colour('map-free'));
        const [idle, none] = [pixelOf(free), pixelOf(rgbOf(colour('map-none')))];
        const keys = this.keys(mode);
        const shades = shadesOf(this.colours(mode), free);
        // Cells lie by column and pixels by row: in tiles, both stay in the cache.
        for (let tile = 0; tile < columns; tile += TILE) {
            const end = Math.min(tile + TILE, columns);
            for (let y = 0; y < rows; y++) {
                const line = (rows - 1 - y) * columns;
                for (let x = tile; x < end; x++) {
                    const cell = x * rows + y;
                    if (used[cell] > 0) {
                        pixels[line + x] =
                            shades[keys[cell] * SHADES + (used[cell] >> SHADE_SHIFT)];
                    } else {
                        pixels[line + x] = y >= low[x] && y < high[x] ? idle : none;
                    }
                }
            }
        }
        return image;
    }

    legend(mode: MapColour): LegendEntry[] {
        switch (mode) {
            case 'size':
                return steps(this.leastSize, this.mostSize, 7).map((log2) => ({
                    colour: this.ofSize(log2),
                    text: format.bytes(2 ** log2),
                }));
            case 'age':
                return [0, 1, 8, 64, 512, 2048]
                    .filter((columns) => columns <= this.map.columns)
                    .map((columns) => ({
                        colour: this.ofAge(columns),
                        text:
                            columns === 0 ? 'new' : format.duration(columns * this.map.nsPerColumn),
                    }));
            case 'thread':
                return this.rankedLegend(
                    this.threads,
                    (index) => this.recording.threadName(index),
                    'other threads',
                );
            case 'site':
                return this.rankedLegend(
                    this.sites,
                    (frame) => this.siteName(frame),
                    'other call sites',
                );
        }
    }

    private siteName(frame: number): string {
        const place = this.recording.placeOf(frame);
        return place === ''
            ? this.recording.functionOf(frame)
            : `${this.recording.functionOf(frame)} (${place})`;
    }

    private rankedLegend(
        ranks: Ranked,
        name: (key: number) => string,
        others: string,
    ): LegendEntry[] {
        const entries = ranks.keys.map((key, rank) => ({
            colour: distinct(rank),
            text: name(key),
        }));
        return ranks.keys.length < DISTINCT_COUNT
            ? entries
            : [...entries, { colour: OTHERS, text: others }];
    }

    private ofRank(ranks: Ranked, key: number): Rgb {
        const rank = ranks.rankOf(key);
        return rank < ranks.keys.length ? distinct(rank) : OTHERS;
    }

    /** Which of the mode's colours each cell has. */
    private keys(mode: MapColour): Uint8Array | Uint16Array {
        const { size, thread, node, born, columns, rows } = this.map;
        if (mode === 'size') {
            return size;
        }
        if (mode === 'thread') {
            return thread;
        }
        const keys = new Uint16Array(columns * rows);
        if (mode === 'age') {
            for (let cell = 0, x = 0; x < columns; x++) {
                for (const end = cell + rows; cell < end; cell++) {
                    keys[cell] = Math.max(x - born[cell], 0);
                }
            }
            return keys;
        }
        const ranks = Uint8Array.from(this.recording.nodes.frame, (frame) =>
            this.sites.rankOf(frame),
        );
        for (let cell = 0; cell < keys.length; cell++) {
            keys[cell] = ranks[node[cell]];
        }
        return keys;
    }

    private colours(mode: MapColour): Rgb[] {
        switch (mode) {
            case 'size':
                return Array.from({ length: 256 }, (_, i) => this.ofSize(i));
            case 'thread':
                return Array.from({ length: 256 }, (_, i) => this.ofThread(i));
            case 'age':
                return Array.from({ length: this.map.columns + 1 }, (_, i) => this.ofAge(i));
            case 'site':
                return [...this.sites.keys.map((_, rank) => distinct(rank)), OTHERS];
        }
    }
}

/** Columns that are painted together. */
const TILE = 64;
/** How many steps lead from a trace of use to full use. */
const SHADES = 32;
const SHADE_SHIFT = 3;

/**
 * Each colour over what is free, in steps of how much of a cell is used; a trace of use stays
 * visible.
 */
function shadesOf(colours: Rgb[], free: Rgb): Uint32Array {
    const shades = new Uint32Array(colours.length * SHADES);
    colours.forEach((own, key) => {
        for (let shade = 0; shade < SHADES; shade++) {
            const weight = 0.25 + (0.75 * (shade + 1)) / SHADES;
            const mix = (i: 0 | 1 | 2): number => Math.round(free[i] + (own[i] - free[i]) * weight);
            shades[key * SHADES + shade] = pixelOf([mix(0), mix(1), mix(2)]);
        }
    });
    return shades;
}

function pixelOf([red, green, blue]: Rgb): number {
    return (255 << 24) | (blue << 16) | (green << 8) | red;
}

function sizeRange(map: MapCells): [number, number] {
    let least = 255;
    let most = 0;
    for (let i = 0; i < map.used.length; i++) {
        if (map.used[i] > 0) {
            least = Math.min(least, map.size[i]);
            most = Math.max(most, map.size[i]);
        }
    }
    return least > most ? [0, 1] : [least, most];
}

function steps(least: number, most: number, count: number): number[] {
    const step = Math.max(1, Math.ceil((most - least) / (count - 1)));
    const values: number[] = [];
    for (let value = least; value <= most; value += step) {
        values.push(value);
    }
    return values;
}
