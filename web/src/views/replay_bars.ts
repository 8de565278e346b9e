// SPDX-License-Identifier: MIT

import * as format from '../data/format';
import type { Replay, ReplayRun } from '../data/head';
import { el } from '../ui/dom';

/** Peak footprints of replays as bars, with the bounds of theory as lines across them. */

interface Bound {
    key: string;
    name: string;
    bytes: number;
}

/** The rank, or behind all ranks for runs that have none. */
export function rankOf(run: ReplayRun): number {
    return run.rank ?? Number.MAX_SAFE_INTEGER;
}

export function replayBars(replay: Replay): HTMLElement {
    const runs = replay.runs
        .filter((run) => largestOf(run) > 0)
        .sort((a, b) => rankOf(a) - rankOf(b));
    const bounds = boundsOf(replay);
    const most = Math.max(...runs.map(largestOf), ...bounds.map((bound) => bound.bytes), 1) * 1.02;
    const share = (bytes: number): string => `${((100 * bytes) / most).toFixed(3)}%`;
    const chart = el('div', {
        class: 'bars',
        role: 'img',
        'aria-label':
            'Peak footprint and peak resident of each strategy, beside the bounds of theory',
    });
    for (const run of runs) {
        chart.append(
            el('span', { class: 'bars-name', title: run.about }, run.name),
            el(
                'span',
                { class: 'bars-track' },
                bar('bars-footprint', run.peak_footprint, share),
                bar('bars-resident', run.peak_resident, share),
                ...bounds.map(({ key, bytes }) =>
                    el('span', { class: `bars-line ${key}`, style: `left: ${share(bytes)}` }),
                ),
            ),
            el('span', { class: 'bars-value number' }, valueOf(run)),
        );
    }
    return el('div', {}, el('h2', {}, 'Peak footprint'), chart, legend(bounds));
}

function largestOf(run: ReplayRun): number {
    return Math.max(run.peak_footprint ?? 0, run.peak_resident ?? 0);
}

/** The footprint; of allocators that do not tell it, what was resident. */
function valueOf(run: ReplayRun): string {
    const { peak_footprint: footprint, peak_resident: resident } = run;
    return (footprint ?? 0) > 0 ? format.bytes(footprint ?? 0) : `(${format.bytes(resident ?? 0)})`;
}

function bar(
    name: string,
    bytes: number | null | undefined,
    share: (bytes: number) => string,
): HTMLElement | null {
    return (bytes ?? 0) > 0
        ? el('span', { class: name, style: `width: ${share(bytes ?? 0)}` })
        : null;
}

function boundsOf(replay: Replay): Bound[] {
    const { theory } = replay;
    if (theory === null || theory === undefined) {
        return [];
    }
    const bounds = [{ key: 'line-live', name: 'peak of live bytes', bytes: theory.peak_live }];
    if (theory.static_plan !== null) {
        bounds.push({ key: 'line-plan', name: 'static plan', bytes: theory.static_plan.height });
    }
    // Robson's bound is often many times what any run takes; its line would squeeze the bars.
    const largest = Math.max(...replay.runs.map((run) => run.peak_footprint ?? 0), 0);
    if (theory.robson !== null && theory.robson.bytes <= 2 * largest) {
        bounds.push({ key: 'line-robson', name: 'Robson’s bound', bytes: theory.robson.bytes });
    }
    return bounds;
}

function legend(bounds: Bound[]): HTMLElement {
    const swatch = (colour: string, text: string): HTMLElement =>
        el(
            'span',
            {},
            el('span', { class: 'swatch', style: `background: var(--${colour})` }),
            text,
        );
    return el(
        'p',
        { class: 'map-legend' },
        swatch('footprint', 'peak footprint'),
        swatch('resident', 'peak resident (in brackets)'),
        ...bounds.map(({ key, name, bytes }) =>
            el(
                'span',
                {},
                el('span', { class: `line-swatch ${key}` }),
                `${name} ${format.bytes(bytes)}`,
            ),
        ),
    );
}
