// SPDX-License-Identifier: MIT

import * as format from '../data/format';
import type { Report } from '../data/report';
import { el, fill } from '../ui/dom';

/** The figures of the range at a glance. */
export class Cards {
    readonly root = el('section', {
        class: 'cards',
        'aria-label': 'Summary of the selected range',
    });
    private readonly report: Report;

    constructor(report: Report) {
        this.report = report;
    }

    update(): void {
        const { recording, selection, figures } = this.report;
        const { totals } = figures;
        const grain = recording.curve.widthNs;
        const ns = (selection.range.end - selection.range.begin) * recording.binNs;
        const overhead =
            totals.peakFootprint === null || totals.peakLive === 0
                ? ''
                : `${format.percent(totals.peakFootprint / totals.peakLive - 1)} above live`;
        fill(
            this.root,
            card(
                'allocated',
                'Allocated',
                format.bytes(totals.bytes),
                totals.bytes,
                format.counted(totals.allocs, 'block'),
            ),
            card(
                'allocations',
                'Allocations',
                format.shortCount(totals.allocs),
                totals.allocs,
                `${format.shortCount(totals.allocs / (ns / 1e9))} per second`,
            ),
            card(
                'freed',
                'Freed',
                format.bytes(totals.freed),
                totals.freed,
                format.counted(totals.frees, 'block'),
            ),
            card(
                'temporary',
                'Temporary',
                format.percent(totals.allocs === 0 ? 0 : totals.temporary / totals.allocs),
                totals.temporary,
                format.counted(totals.temporary, 'block'),
            ),
            card(
                'peak',
                'Peak of live bytes',
                format.bytes(totals.peakLive),
                totals.peakLive,
                `at ${format.moment(totals.peakTimeNs, grain)}`,
            ),
            totals.peakFootprint === null
                ? null
                : card(
                      'footprint',
                      'Peak footprint',
                      format.bytes(totals.peakFootprint),
                      totals.peakFootprint,
                      overhead,
                  ),
            card(
                'live',
                'Live at the end',
                format.bytes(totals.live),
                totals.live,
                format.counted(totals.liveBlocks, 'block'),
            ),
        );
    }
}

function card(key: string, title: string, value: string, exact: number, note: string): HTMLElement {
    return el(
        'div',
        { class: 'card', 'data-card': key, 'data-value': exact, title: format.count(exact) },
        el('div', { class: 'card-title' }, title),
        el('div', { class: 'card-value' }, value),
        el('div', { class: 'card-note' }, note),
    );
}
