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

    /** Old blocks are what holds pages, so that the scale tells short lives apart and ends at the whole time. */
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
        const table = this.cellColours(mode);
        const free = rgbOf(colour('map-free'));
        const [none, idle] = [pixelOf(rgbOf(colour('map-none'))), pixelOf(free)];
        for (let x = 0; x < columns; x++) {
            for (let y = 0; y < rows; y++) {
                const cell = x * rows + y;
                const share = used[cell];
                const at = (rows - 1 - y) * columns + x;
                if (share === 0) {
                    pixels[at] = y >= low[x] && y < high[x] ? idle : none;
                } else {
                    pixels[at] = mixed(table(cell, x), free, share);
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
                        text: columns === 0 ? 'new' : format.duration(columns * this.map.nsPerColumn),
                    }));
            case 'thread':
                return this.rankedLegend(this.threads, (index) => this.recording.threadName(index), 'other threads');
            case 'site':
                return this.rankedLegend(this.sites, (frame) => this.siteName(frame), 'other call sites');
        }
    }

    private siteName(frame: number): string {
        const place = this.recording.placeOf(frame);
        return place === '' ? this.recording.functionOf(frame) : `${this.recording.functionOf(frame)} (${place})`;
    }

    private rankedLegend(ranks: Ranked, name: (key: number) => string, others: string): LegendEntry[] {
        const entries = ranks.keys.map((key, rank) => ({ colour: distinct(rank), text: name(key) }));
        return ranks.keys.length < DISTINCT_COUNT ? entries : [...entries, { colour: OTHERS, text: others }];
    }

    private ofRank(ranks: Ranked, key: number): Rgb {
        const rank = ranks.rankOf(key);
        return rank < ranks.keys.length ? distinct(rank) : OTHERS;
    }

    /** The colour of a cell in a column, from a table: there are millions of cells. */
    private cellColours(mode: MapColour): (cell: number, x: number) => Rgb {
        const { size, thread, node, born, columns } = this.map;
        const { frame } = this.recording.nodes;
        switch (mode) {
            case 'size': {
                const colours = Array.from({ length: 256 }, (_, i) => this.ofSize(i));
                return (cell) => colours[size[cell]];
            }
            case 'age': {
                const colours = Array.from({ length: columns + 1 }, (_, i) => this.ofAge(i));
                return (cell, x) => colours[Math.max(x - born[cell], 0)];
            }
            case 'thread': {
                const colours = Array.from({ length: 256 }, (_, i) => this.ofThread(i));
                return (cell) => colours[thread[cell]];
            }
            case 'site': {
                const colours = Array.from({ length: this.sites.keys.length + 1 }, (_, i) =>
                    i < this.sites.keys.length ? distinct(i) : OTHERS,
                );
                return (cell) => colours[this.sites.rankOf(frame[node[cell]])];
            }
        }
    }
}

/** The colour over what is free, by how much of the cell is used; a trace of use stays visible. */
function mixed(own: Rgb, free: Rgb, share: number): number {
    const weight = 0.25 + (0.75 * share) / 255;
    const mix = (i: 0 | 1 | 2): number => free[i] + (own[i] - free[i]) * weight;
    return (255 << 24) | (mix(2) << 16) | (mix(1) << 8) | mix(0);
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
