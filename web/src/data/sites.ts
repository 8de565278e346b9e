// SPDX-License-Identifier: MIT

import type { Figures } from './figures';
import type { Recording } from './recording';

/** What stacks are gathered by. */
export type Grouping = 'site' | 'function' | 'module';

/** All stacks that end at the same place, and what they did in the range. */
export interface Site {
    /** One of its frames, for its names. */
    frame: number;
    label: string;
    place: string;
    module: string;
    nodes: number[];
    allocs: number;
    bytes: number;
    temporary: number;
    live: number;
    liveBlocks: number;
    peak: number;
}

export function sitesOf(recording: Recording, figures: Figures, grouping: Grouping): Site[] {
    const { nodes } = figures;
    const sites = new Map<number, Site>();
    for (let node = 0; node < recording.nodes.count; node++) {
        const isIdle = nodes.allocs[node] === 0 && nodes.live[node] === 0 && nodes.peak[node] === 0;
        if (isIdle) {
            continue;
        }
        const site = siteFor(recording, sites, recording.nodes.frame[node], grouping);
        site.nodes.push(node);
        site.allocs += nodes.allocs[node];
        site.bytes += nodes.bytes[node];
        site.temporary += nodes.temporary[node];
        site.live += nodes.live[node];
        site.liveBlocks += nodes.liveBlocks[node];
        site.peak += nodes.peak[node];
    }
    return [...sites.values()];
}

function siteFor(
    recording: Recording,
    sites: Map<number, Site>,
    frame: number,
    grouping: Grouping,
): Site {
    const key = keyOf(recording, frame, grouping);
    let site = sites.get(key);
    if (site === undefined) {
        const module = recording.moduleOf(frame);
        site = {
            frame,
            label: grouping === 'module' ? module || '(unknown)' : recording.functionOf(frame),
            place: grouping === 'site' ? recording.whereOf(frame) : '',
            module: grouping === 'module' ? '' : module,
            nodes: [],
            allocs: 0,
            bytes: 0,
            temporary: 0,
            live: 0,
            liveBlocks: 0,
            peak: 0,
        };
        sites.set(key, site);
    }
    return site;
}

function keyOf(recording: Recording, frame: number, grouping: Grouping): number {
    switch (grouping) {
        case 'site':
            return frame;
        case 'function':
            return recording.frames.function[frame];
        case 'module':
            return recording.frames.module[frame];
    }
}

export interface PinSite {
    frame: number;
    nodes: number[];
    bytes: number;
    pages: number;
}

/** Who holds the partly used pages of a snapshot, by call site. */
export function pinSites(recording: Recording, snapshot: number): PinSite[] {
    const { pins } = recording;
    if (pins === null || snapshot < 0) {
        return [];
    }
    const sites = new Map<number, PinSite>();
    const first = snapshot === 0 ? 0 : pins.ends[snapshot - 1];
    for (let i = first; i < pins.ends[snapshot]; i++) {
        const frame = recording.nodes.frame[pins.node[i]];
        let site = sites.get(frame);
        if (site === undefined) {
            site = { frame, nodes: [], bytes: 0, pages: 0 };
            sites.set(frame, site);
        }
        site.nodes.push(pins.node[i]);
        site.bytes += pins.bytes[i];
        site.pages += pins.pages[i];
    }
    return [...sites.values()];
}
