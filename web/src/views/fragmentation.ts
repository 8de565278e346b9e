// SPDX-License-Identifier: MIT

import { snapshotFor } from '../data/figures';
import * as format from '../data/format';
import type { Snapshot } from '../data/head';
import type { Report } from '../data/report';
import { type PinSite, pinSites } from '../data/sites';
import { el, fill } from '../ui/dom';
import { Table } from '../ui/table';
import type { View } from '../ui/tabs';
import { Stacks } from './stacks';

/**
 * Who pins the half-empty pages: the free bytes beside its blocks, which nothing else can give
 * back.
 */
export class Fragmentation implements View {
    readonly root: HTMLElement;
    private readonly report: Report;
    private readonly facts = el('div', { class: 'facts' });
    private readonly stacks: Stacks;
    private readonly table: Table<PinSite>;
    private total = 1;
    private most = 1;
    private weights = new Map<number, number>();

    constructor(report: Report) {
        const { recording } = report;
        this.report = report;
        this.stacks = new Stacks(recording);
        this.table = new Table<PinSite>({
            label: 'Fragmentation by call site',
            sort: 'bytes',
            onSelect: (site) => this.showStacks(site),
            emptyText: 'No page was partly used then.',
            columns: [
                {
                    key: 'label',
                    title: 'Call site',
                    isNumber: false,
                    value: (site) => recording.functionOf(site.frame),
                    show: (site) =>
                        el(
                            'div',
                            { class: 'site' },
                            el('span', { class: 'function' }, recording.functionOf(site.frame)),
                            el('span', { class: 'place' }, recording.whereOf(site.frame)),
                        ),
                },
                {
                    key: 'bytes',
                    title: 'Pinned free bytes',
                    hint: 'Free bytes on partly used pages, charged to the blocks that hold these pages',
                    isNumber: true,
                    value: (site) => site.bytes,
                    show: (site) => format.bytes(site.bytes),
                    exact: (site) => format.exactBytes(site.bytes),
                    bar: (site) => site.bytes / this.most,
                },
                {
                    key: 'share',
                    title: 'Share',
                    isNumber: true,
                    value: (site) => site.bytes,
                    show: (site) => format.percent(site.bytes / this.total),
                },
                {
                    key: 'pages',
                    title: 'Pages held',
                    hint: 'Partly used pages with its blocks, in proportion to its bytes there',
                    isNumber: true,
                    value: (site) => site.pages,
                    show: (site) => format.count(site.pages),
                },
            ],
        });
        this.root = el(
            'div',
            {},
            this.facts,
            el('div', { class: 'split' }, this.table.root, this.stacks.root),
        );
    }

    update(): void {
        const { recording, selection } = this.report;
        const index = snapshotFor(recording, selection.range);
        const snapshot = recording.head.snapshots[index];
        const sites = pinSites(recording, index);
        this.total = sites.reduce((sum, site) => sum + site.bytes, 0) || 1;
        this.most = sites.reduce((most, site) => Math.max(most, site.bytes), 1);
        this.weigh(index);
        fill(this.facts, ...(snapshot === undefined ? [] : this.factsOf(snapshot)));
        this.table.set(sites);
        const first = this.table.first();
        if (first === undefined) {
            this.stacks.clear();
        } else {
            this.table.select(first);
        }
    }

    private weigh(index: number): void {
        this.weights = new Map();
        const { pins } = this.report.recording;
        if (pins === null || index < 0) {
            return;
        }
        for (let i = index === 0 ? 0 : pins.ends[index - 1]; i < pins.ends[index]; i++) {
            this.weights.set(pins.node[i], (this.weights.get(pins.node[i]) ?? 0) + pins.bytes[i]);
        }
    }

    private factsOf(snapshot: Snapshot): HTMLElement[] {
        const { map, head } = this.report.recording;
        const label = snapshot.label === '' ? '' : ` (${snapshot.label})`;
        const fact = (name: string, value: string): HTMLElement =>
            el('span', { class: 'fact' }, el('span', {}, name), el('strong', {}, value));
        return [
            fact(
                'Snapshot at',
                `${format.moment(snapshot.time_ns, this.report.recording.binNs)}${label}`,
            ),
            // A region is never shorter than it was once; recorded addresses have what they have.
            fact(
                map !== null && map.layout.includes('simulated')
                    ? 'footprint so far (high-water mark)'
                    : 'footprint',
                format.bytes(snapshot.footprint),
            ),
            fact('live', format.bytes(snapshot.live)),
            fact(
                'free on partly used pages',
                format.bytes(snapshot.free_bytes) + shareOf(snapshot, head.summary.page_size),
            ),
            fact(
                'pages',
                `${format.count(snapshot.pages)}: ${format.count(snapshot.full_pages)} full, ${format.count(snapshot.partial_pages)} partly used`,
            ),
        ];
    }

    private showStacks(site: PinSite): void {
        this.stacks.show(
            this.report.recording.functionOf(site.frame),
            [...new Set(site.nodes)],
            (node) => this.weights.get(node) ?? 0,
            (weight) => `${format.bytes(weight)} pinned`,
        );
    }
}

/** The share of the pages that have blocks, not of the footprint, which may be of long ago. */
function shareOf(snapshot: Snapshot, pageSize: number): string {
    const share = snapshot.free_bytes / (snapshot.pages * pageSize);
    return snapshot.pages > 0 ? ` (${format.percent(share)} of these pages)` : '';
}
